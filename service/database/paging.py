"""Pages by keyset: a cursor holds the last row's sort value and number, so that rows added or
removed meanwhile neither repeat nor hide others, and page 1,000 costs what page 1 does.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from sqlalchemy import Column, ColumnElement, and_, or_

from service.errors import InvalidCursor

T = TypeVar("T")


@dataclass(frozen=True)
class Page(Generic[T]):
    """One page; `total` counts all matching rows, `next_cursor` is None on the last page."""

    items: Sequence[T]
    total: int
    next_cursor: str | None


@dataclass(frozen=True)
class Keyset:
    """An order: by `value` (NULLs last either way), ties broken by the unique `tie`.

    `name` goes into the cursor, so that a cursor of one order is refused by another.
    """

    name: str
    value: ColumnElement[Any]
    tie: ColumnElement[Any]
    descending: bool

    def order_by(self) -> list[ColumnElement[Any]]:
        """NULLS LAST spelled out as a column: engines disagree on where NULLs go by default.

        A column without NULLs does without, and its index gives the order.
        """
        nulls_last = [self.value.is_(None)] if self._may_be_null else []
        if self.descending:
            return [*nulls_last, self.value.desc(), self.tie.desc()]
        return [*nulls_last, self.value.asc(), self.tie.asc()]

    def after(self, cursor: str | None) -> list[ColumnElement[bool]]:
        """Conditions for rows behind the cursor; raises InvalidCursor."""
        if cursor is None:
            return []
        value, tie = self._decode(cursor)
        behind = self.tie < tie if self.descending else self.tie > tie
        if value is None:
            return [and_(self.value.is_(None), behind)]
        further = self.value < value if self.descending else self.value > value
        rest = [further, and_(self.value == value, behind)]
        return [or_(*rest, self.value.is_(None)) if self._may_be_null else or_(*rest)]

    @property
    def _may_be_null(self) -> bool:
        return not isinstance(self.value, Column) or bool(self.value.nullable)

    def cursor(self, value: Any, tie: Any) -> str:
        """The cursor that continues behind a row with this sort value and tie."""
        if isinstance(value, datetime):
            value = {"t": value.isoformat()}
        payload = json.dumps([self._order_name(), value, tie], separators=(",", ":"))
        return base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")

    def _order_name(self) -> str:
        return ("-" if self.descending else "") + self.name

    def _decode(self, cursor: str) -> tuple[Any, Any]:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            order, value, tie = json.loads(base64.b64decode(padded, altchars=b"-_", validate=True))
            if isinstance(value, dict):
                value = datetime.fromisoformat(value["t"])
            self._check(order, value, tie)
        except (binascii.Error, ValueError, TypeError, KeyError) as error:
            raise InvalidCursor from error
        return value, tie

    def _check(self, order: Any, value: Any, tie: Any) -> None:
        """Refuse values that the columns could not have given: a database would raise on them."""
        if order != self._order_name():
            raise ValueError("a cursor of another order")
        if value is not None and not _fits(value, self.value.type.python_type):
            raise ValueError("not a value of this column")
        if not _fits(tie, self.tie.type.python_type):
            raise ValueError("not a row number")


def _fits(value: Any, python_type: type) -> bool:
    if isinstance(value, bool):
        return False
    if isinstance(value, int):
        return python_type in (int, float) and -(2**63) <= value < 2**63
    if isinstance(value, str):
        value.encode()  # a lone surrogate raises ValueError here instead of in the driver
        return python_type is str and "\x00" not in value
    if isinstance(value, datetime):
        return python_type is datetime and value.tzinfo is not None
    return isinstance(value, python_type)
