"""From a filter's tree to a condition on `tracks`, the same on SQLite and PostgreSQL.

SQL knows three answers, a filter two. So a `Not` never becomes a SQL NOT around something that may
be unknown: it is pushed down to the leaves, and each leaf is written in both senses.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import (
    REAL,
    ColumnElement,
    Float,
    and_,
    cast,
    exists,
    false,
    literal,
    not_,
    or_,
    select,
    true,
)

from service.database.extra_values import ExtraKind
from service.database.folding import folded_key
from service.database.tables import TagValue, Track, TrackExtra
from service.filtering.nodes import (
    AllOf,
    AnyOf,
    Between,
    Exists,
    Field,
    FieldKind,
    Filter,
    Leaf,
    Not,
    OneOf,
    Scalar,
)
from service.filtering.tag_scope import TagScope

Condition = ColumnElement[bool]

COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "title": Track.title_key.expression,
    "artist": Track.artist_key.expression,
    "album": Track.album_key.expression,
    "genre": Track.genre_key.expression,
    "year": Track.year.expression,
    "duration_s": Track.duration_s.expression,
    "added_at": Track.added_at.expression,
    "state": Track.state.expression,
}
"""What a field of every track is compared by."""


def condition(node: Filter, tags: TagScope | None) -> Condition:
    """A condition for the WHERE of a statement on Track; `tags` where the filter asks for any."""
    return _condition(node, tags, wanted=True)


def _condition(node: Filter, tags: TagScope | None, *, wanted: bool) -> Condition:
    if isinstance(node, Not):
        return _condition(node.node, tags, wanted=not wanted)
    if isinstance(node, AllOf | AnyOf):
        parts = [_condition(child, tags, wanted=wanted) for child in node.nodes]
        return and_(*parts) if isinstance(node, AllOf) is wanted else or_(*parts)
    kind = node.field.kind
    if kind is FieldKind.EXTRA:
        return _some_row(TrackExtra, _extra_rows(node), wanted=wanted)
    if kind in (FieldKind.TAGS, FieldKind.TAG):
        if tags is None:
            raise ValueError("a filter that asks for tags needs to know which")
        return _some_row(TagValue, _tag_rows(node, tags), wanted=wanted)
    return _column(COLUMNS[node.field.name], node, wanted=wanted)


# --- fields that every track has ----------------------------------------------------------------


def _column(column: ColumnElement[Any], leaf: Leaf, *, wanted: bool) -> Condition:
    if isinstance(leaf, Exists):
        return column.is_not(None) if wanted else column.is_(None)
    if isinstance(leaf, OneOf):
        values = [_stored(leaf.field, value) for value in leaf.values]
        found = _among(column, values)
    else:
        found = _within(column, leaf)
    return found if wanted else or_(column.is_(None), not_(found))


def _stored(field: Field, value: Scalar) -> Any:
    if field.kind is FieldKind.TEXT:
        return folded_key(str(value))
    if field.kind is FieldKind.NUMBER and isinstance(value, int):
        return float(value)  # PostgreSQL reads a list by its first number: after 0, 1.5 is 2
    return value


def _among(column: ColumnElement[Any], values: Iterable[Any]) -> Condition:
    different = list(dict.fromkeys(values))
    return column == different[0] if len(different) == 1 else column.in_(different)


def _within(column: ColumnElement[Any], leaf: Between, *, folds: bool = False) -> Condition:
    def bound(value: Any) -> Any:
        if isinstance(value, int | float):
            # Said to be a float, or PostgreSQL rounds 1990.5 to the year column's own type. A value
            # that is kept in four bytes is compared in four: its 0.9 lies below the 0.9 of eight.
            number = literal(float(value), Float())
            return cast(number, REAL) if isinstance(column.type, REAL) else number
        return folded_key(value) if folds else value

    found: list[Condition] = []
    if leaf.gte is not None:
        found.append(column >= bound(leaf.gte))
    if leaf.gt is not None:
        found.append(column > bound(leaf.gt))
    if leaf.lte is not None:
        found.append(column <= bound(leaf.lte))
    if leaf.lt is not None:
        found.append(column < bound(leaf.lt))
    return and_(*found)


# --- what a track has in rows of its own --------------------------------------------------------


def _some_row(
    table: type[TrackExtra] | type[TagValue], rows: Condition, *, wanted: bool
) -> Condition:
    """Whether a track has such a row.

    Asked as IN, the database may begin with the few rows; the opposite as NOT EXISTS, because
    PostgreSQL makes a slow loop of a long NOT IN.
    """
    if wanted:
        return Track.pk.in_(select(table.track_pk).where(rows))
    return not_(exists().where(table.track_pk == Track.pk, rows))


def _extra_rows(leaf: Leaf) -> Condition:
    of_key = TrackExtra.key == leaf.field.key
    if isinstance(leaf, Exists):
        return of_key
    if isinstance(leaf, OneOf):
        return and_(of_key, _extra_among(leaf.values))
    bounds_text = any(isinstance(bound, str) for bound in (leaf.gte, leaf.gt, leaf.lte, leaf.lt))
    if bounds_text:
        inside = _within(TrackExtra.text_key.expression, leaf, folds=True)
        return and_(of_key, TrackExtra.kind == ExtraKind.TEXT, inside)
    inside = _within(TrackExtra.number.expression, leaf)
    return and_(of_key, TrackExtra.kind == ExtraKind.NUMBER, inside)


def _extra_among(values: Iterable[Scalar]) -> Condition:
    """Values of each kind by themselves: true is not 1, and neither is "1"."""
    texts: list[str | None] = []
    numbers: dict[ExtraKind, list[float]] = {ExtraKind.NUMBER: [], ExtraKind.BOOLEAN: []}
    for value in values:
        if isinstance(value, str):
            texts.append(folded_key(value))
        elif isinstance(value, bool):
            numbers[ExtraKind.BOOLEAN].append(float(value))
        else:
            assert not isinstance(value, datetime), "JSON has no times"
            numbers[ExtraKind.NUMBER].append(float(value))
    kinds = [
        and_(TrackExtra.kind == kind, _among(TrackExtra.number.expression, some))
        for kind, some in numbers.items()
        if some
    ]
    if texts:
        is_text = TrackExtra.kind == ExtraKind.TEXT
        kinds.append(and_(is_text, _among(TrackExtra.text_key.expression, texts)))
    return or_(*kinds)


def _tag_rows(leaf: Leaf, tags: TagScope) -> Condition:
    field = leaf.field
    if isinstance(leaf, OneOf):
        found = [pk for label in leaf.values for pk in tags.of_label(field.key, str(label))]
    elif field.kind is FieldKind.TAGS:
        found = [known.pk for known in tags.of_group(field.key)]
    else:
        found = tags.of_label(field.key, field.label)
    if not found:
        return false()
    of_labels = TagValue.label_pk.in_(found)
    if field.kind is FieldKind.TAGS:
        return and_(of_labels, TagValue.assigned == true())
    if isinstance(leaf, Between):
        return and_(of_labels, _within(TagValue.probability.expression, leaf))
    return and_(of_labels, TagValue.probability.is_not(None))
