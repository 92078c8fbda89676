"""The fields of the filter language: their names, what may be asked, and what values they take."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from service.database.extra_values import KEY_CHARS
from service.database.tables import TrackState
from service.filtering.nodes import Field, FieldKind, Scalar

EXTRA = "extra."
TAGS = "tags."
MAX_TEXT_CHARS = 500
_MAX_NAME_CHARS = 300
_MAX_YEAR = 2**31 - 1  # of an INTEGER column on PostgreSQL
_MAX_INTEGER = 2**53  # what a float still holds exactly, and both databases compare

FIELDS: Mapping[str, FieldKind] = {
    "title": FieldKind.TEXT,
    "artist": FieldKind.TEXT,
    "album": FieldKind.TEXT,
    "genre": FieldKind.TEXT,
    "year": FieldKind.INTEGER,
    "duration_s": FieldKind.NUMBER,
    "added_at": FieldKind.TIME,
    "state": FieldKind.STATE,
}

OPERATORS: Mapping[FieldKind, frozenset[str]] = {
    FieldKind.TEXT: frozenset({"eq", "ne", "in", "exists"}),
    FieldKind.STATE: frozenset({"eq", "ne", "in", "exists"}),
    FieldKind.INTEGER: frozenset({"eq", "ne", "in", "range", "exists"}),
    FieldKind.NUMBER: frozenset({"eq", "ne", "in", "range", "exists"}),
    FieldKind.TIME: frozenset({"eq", "ne", "in", "range", "exists"}),
    FieldKind.EXTRA: frozenset({"eq", "ne", "in", "range", "exists"}),
    FieldKind.TAGS: frozenset({"eq", "ne", "in", "exists"}),
    FieldKind.TAG: frozenset({"range", "exists"}),
}


class BadValue(ValueError):
    """Why a name or a value is not valid here; the text is for people."""


def parse_field(name: Any) -> Field:
    """The field of this name; raises BadValue."""
    if not isinstance(name, str) or not 0 < len(name) <= _MAX_NAME_CHARS or not is_storable(name):
        raise BadValue("expects the name of a field")
    if name in FIELDS:
        return Field(name, FIELDS[name])
    if name.startswith(EXTRA):
        key = name.removeprefix(EXTRA)
        if not 0 < len(key) <= KEY_CHARS:
            raise BadValue(f"expects a key of 1 to {KEY_CHARS} characters after {EXTRA!r}")
        return Field(name, FieldKind.EXTRA, key)
    if name.startswith(TAGS):
        group, _, label = name.removeprefix(TAGS).partition(".")
        if not group or name.endswith("."):
            raise BadValue("expects tags.<group> or tags.<group>.<label>")
        return Field(name, FieldKind.TAG if label else FieldKind.TAGS, group, label)
    known = ", ".join([*FIELDS, "extra.<key>", "tags.<group>", "tags.<group>.<label>"])
    raise BadValue(f"is not a field; fields are {known}")


def parse_value(field: Field, value: Any) -> Scalar:
    """A value that this field may be equal to; raises BadValue."""
    return _PARSERS[field.kind](value)


def parse_bound(field: Field, value: Any) -> Scalar:
    """An end of a range of this field; raises BadValue."""
    if field.kind is FieldKind.INTEGER or field.kind is FieldKind.TAG:
        return _number(value)
    if field.kind is FieldKind.EXTRA and isinstance(value, bool):
        raise BadValue("expects a number or a text")
    return parse_value(field, value)


def is_whole_day(value: Any) -> bool:
    """Whether a time was given as a date alone, which means all of that day."""
    return isinstance(value, str) and len(value) == len("2026-11-22")


def next_day(day: Scalar) -> datetime:
    """The moment at which a day is over; raises BadValue at the end of the calendar."""
    assert isinstance(day, datetime)
    try:
        return day + timedelta(days=1)
    except OverflowError:
        raise BadValue("is out of range") from None


def is_storable(text: str) -> bool:
    """Whether both databases take the text: PostgreSQL refuses NUL and lone surrogates."""
    return "\x00" not in text and not any("\ud800" <= char <= "\udfff" for char in text)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise BadValue("expects a text")
    if len(value) > MAX_TEXT_CHARS:
        raise BadValue(f"has more than {MAX_TEXT_CHARS} characters")
    if not is_storable(value):
        raise BadValue("holds characters that no text has")
    return value


def _state(value: Any) -> str:
    if value not in list(TrackState):
        raise BadValue("expects one of " + ", ".join(TrackState))
    return str(value)


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadValue("expects a number")
    if isinstance(value, int) and abs(value) > _MAX_INTEGER:
        raise BadValue("is out of range")
    if not math.isfinite(value):
        raise BadValue("expects a finite number")
    return value


def _integer(value: Any) -> int:
    number = _number(value)
    if number != int(number):
        raise BadValue("expects a whole number")
    if abs(number) > _MAX_YEAR:
        raise BadValue("is out of range")
    return int(number)


def _time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise BadValue("expects a date or a time, as 2026-11-22 or 2026-11-22T18:30:00Z")
    try:
        moment = datetime.fromisoformat(value)
        return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
    except (ValueError, OverflowError):
        raise BadValue("expects a date or a time, as 2026-11-22 or 2026-11-22T18:30:00Z") from None


def _json_scalar(value: Any) -> Scalar:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int | float):
        return _number(value)
    raise BadValue("expects a text, a number, true or false")


_PARSERS: Mapping[FieldKind, Callable[[Any], Scalar]] = {
    FieldKind.TEXT: _text,
    FieldKind.STATE: _state,
    FieldKind.INTEGER: _integer,
    FieldKind.NUMBER: _number,
    FieldKind.TIME: _time,
    FieldKind.EXTRA: _json_scalar,
    FieldKind.TAGS: _text,
}
