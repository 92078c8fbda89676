"""The user's own metadata, one row per value, so that SQL can filter and count it.

    tracks.extra {"bpm": 120, "moods": ["calm", "Calm", null], "rights": {"cleared": true}}
    track_extra  bpm     number   120
                 moods   text     calm     (what folds to the same is one value)
                 rights  object            (is there, equals nothing)

`tracks.extra` stays the truth. These rows are written in the same flush, whoever changes it; a
null, an empty list and a key longer than KEY_CHARS have none.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    CheckConstraint,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    delete,
    insert,
)
from sqlalchemy.dialects.postgresql import VARCHAR
from sqlalchemy.orm import Mapped, mapped_column

from service.database.base import Base, BigKey
from service.database.folding import FOLDED_CHARS, folded_key

KEY_CHARS = 100
TEXT_CHARS = 500
_MOST = sys.float_info.max  # JSON allows any integer, the column does not

# By code point, as SQLite compares and Python sorts: else order would hang on the server's locale.
FoldedText = String(FOLDED_CHARS).with_variant(VARCHAR(FOLDED_CHARS, collation="C"), "postgresql")
ExactText = String(KEY_CHARS).with_variant(VARCHAR(KEY_CHARS, collation="C"), "postgresql")


class ExtraKind(StrEnum):
    """What a value is; values of different kinds are never equal."""

    TEXT = "text"
    NUMBER = "number"
    BOOLEAN = "boolean"
    OBJECT = "object"


class TrackExtra(Base):
    """One value of a key of a track's `extra`; a list has a row for each different element.

    `text` is the value as written (cut to TEXT_CHARS), `text_key` the same folded, `number` also
    holds a boolean as 0 or 1.
    """

    __tablename__ = "track_extra"

    track_pk: Mapped[int] = mapped_column(
        BigKey, ForeignKey("tracks.pk", ondelete="CASCADE"), primary_key=True
    )
    key: Mapped[str] = mapped_column(ExactText, primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    kind: Mapped[str] = mapped_column(String(8))
    text: Mapped[str | None] = mapped_column(String(TEXT_CHARS))
    text_key: Mapped[str | None] = mapped_column(FoldedText)
    number: Mapped[float | None] = mapped_column(Float)

    __table_args__ = (
        CheckConstraint("kind IN ('text', 'number', 'boolean', 'object')", name="kind"),
        Index("ix_track_extra_text", "key", "kind", "text_key", "track_pk"),
        Index("ix_track_extra_number", "key", "kind", "number", "track_pk"),
        {"sqlite_with_rowid": False},
    )


@dataclass(frozen=True)
class ExtraValue:
    """One value as it is stored."""

    key: str
    position: int
    kind: ExtraKind
    text: str | None = None
    text_key: str | None = None
    number: float | None = None


def extra_values(extra: Mapping[str, Any]) -> list[ExtraValue]:
    """The values of a track's `extra` that can be filtered."""
    return [
        value
        for key, content in extra.items()
        if 0 < len(key) <= KEY_CHARS
        for value in _values_of(key, content)
    ]


def replace_extra(connection: Connection, track_pk: int, extra: Mapping[str, Any]) -> None:
    """Make a track's rows those of `extra`."""
    connection.execute(delete(TrackExtra).where(TrackExtra.track_pk == track_pk))
    add_extra(connection, track_pk, extra)


def add_extra(connection: Connection, track_pk: int, extra: Mapping[str, Any]) -> None:
    """Add the rows of `extra` to a track that has none."""
    rows = [{"track_pk": track_pk, **vars(value)} for value in extra_values(extra)]
    if rows:
        connection.execute(insert(TrackExtra), rows)


def _values_of(key: str, content: Any) -> Iterator[ExtraValue]:
    elements = content if isinstance(content, list) else [content]
    found = dict.fromkeys(_typed(element) for element in elements if element is not None)
    written = {_typed(element): element for element in reversed(elements) if element is not None}
    for position, (kind, text_key, number) in enumerate(found):
        text = None
        if kind is ExtraKind.TEXT:
            text = written[kind, text_key, number][:TEXT_CHARS]
        yield ExtraValue(key, position, kind, text, text_key, number)


def _typed(value: Any) -> tuple[ExtraKind, str | None, float | None]:
    if isinstance(value, bool):
        return ExtraKind.BOOLEAN, None, float(value)
    if isinstance(value, int | float) and abs(value) <= _MOST:
        return ExtraKind.NUMBER, None, float(value)
    if isinstance(value, str):
        return ExtraKind.TEXT, folded_key(value), None
    return ExtraKind.OBJECT, None, None
