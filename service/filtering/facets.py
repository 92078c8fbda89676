"""Which values a field has under a filter, and how many tracks have each.

A field's own conditions do not count for its own values: whoever has chosen the genre Jazz still
sees how many tracks of the other genres there are. Texts that fold to the same are one value, shown
as the oldest of its tracks has it written.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Select, case, func, select, true
from sqlalchemy.orm import Session

from service.database.extra_values import ExtraKind
from service.database.tables import TagValue, Track, TrackExtra
from service.filtering.conditions import COLUMNS
from service.filtering.nodes import Field, FieldKind
from service.filtering.tag_scope import TagScope

Value = str | int | float | bool
Where = Sequence[ColumnElement[bool]]


@dataclass(frozen=True)
class FacetValue:
    """A value and the number of tracks that have it."""

    value: Value
    count: int


@dataclass(frozen=True)
class Facet:
    """What a field is on the tracks of a filter.

    `missing`: tracks without a value. `distinct`: different values, of which `values` are the most
    frequent; `other` adds up the counts of the rest. `min`, `max`: of numbers and times. A number
    that seldom repeats (a duration, a probability) has bounds and no values.
    """

    field: str
    values: list[FacetValue]
    missing: int
    other: int
    distinct: int
    min: int | float | datetime | None = None
    max: int | float | datetime | None = None


def read_facet(session: Session, field: Field, where: Where, tags: TagScope, limit: int) -> Facet:
    """Count one field over the tracks that pass `where`, conditions on Track."""
    if field.kind in (FieldKind.NUMBER, FieldKind.TIME):
        return _bounds(session, field, where)
    if field.kind is FieldKind.EXTRA:
        return _extra(session, field, where, limit)
    if field.kind is FieldKind.TAGS:
        return _tags(session, field, where, tags, limit)
    if field.kind is FieldKind.TAG:
        return _probability(session, field, where, tags)
    return _column(session, field, where, limit)


# --- fields that every track has ----------------------------------------------------------------


def _bounds(session: Session, field: Field, where: Where) -> Facet:
    column = COLUMNS[field.name]
    query = select(func.count(), func.count(column), func.min(column), func.max(column))
    total, present, low, high = session.execute(query.select_from(Track).where(*where)).one()
    return Facet(field.name, [], total - present, 0, 0, low, high)


def _column(session: Session, field: Field, where: Where, limit: int) -> Facet:
    passing = select(COLUMNS[field.name].label("value"), Track.pk.label("pk")).where(*where)
    # Said to come first, or SQLite walks the index of the groups and looks up each track's row.
    source = passing.cte().prefix_with("MATERIALIZED") if where else passing.subquery()
    groups = (
        select(
            source.c.value,
            func.count().label("tracks"),
            func.min(source.c.pk).label("oldest"),
        )
        .group_by(source.c.value)
        .subquery()
    )
    value, tracks = groups.c.value, groups.c.tracks
    query = (
        select(
            value,
            tracks,
            groups.c.oldest,
            func.sum(tracks).over().label("total"),
            func.count(value).over().label("distinct"),
            func.sum(case((value.is_(None), tracks), else_=0)).over().label("missing"),
            func.min(value).over().label("low"),
            func.max(value).over().label("high"),
        )
        .order_by(value.is_(None), tracks.desc(), value)
        .limit(limit)
    )
    rows = session.execute(query).all()
    if not rows:
        return Facet(field.name, [], 0, 0, 0)
    shown = [row for row in rows if row.value is not None]
    written: Mapping[int, Value] = {}
    if field.kind is FieldKind.TEXT:
        written = _written(session, field.name, [row.oldest for row in shown])
    values = [FacetValue(written.get(row.oldest, row.value), row.tracks) for row in shown]
    total, missing = int(rows[0].total), int(rows[0].missing)
    has_bounds = field.kind is FieldKind.INTEGER
    return Facet(
        field.name,
        values,
        missing,
        total - missing - sum(row.tracks for row in shown),
        rows[0].distinct,
        rows[0].low if has_bounds else None,
        rows[0].high if has_bounds else None,
    )


def _written(session: Session, name: str, pks: Collection[int]) -> dict[int, Value]:
    """A text as these tracks have it written."""
    query = select(Track.pk, Track.__table__.c[name]).where(Track.pk.in_(pks))
    return {row[0]: row[1] for row in session.execute(query)}


# --- the user's own keys ------------------------------------------------------------------------


def _extra(session: Session, field: Field, where: Where, limit: int) -> Facet:
    of_key = (TrackExtra.key == field.key, *_of_tracks(TrackExtra.track_pk.expression, where))
    # Each track has one row at position 0 of its key, of whatever kind.
    present = select(func.count()).where(*of_key, TrackExtra.position == 0)
    missing = _count(session, where) - (session.scalar(present) or 0)
    of_numbers = (*of_key, TrackExtra.kind == ExtraKind.NUMBER)
    bounds = select(func.min(TrackExtra.number), func.max(TrackExtra.number)).where(*of_numbers)
    low, high = session.execute(bounds).one()
    # Texts and numbers apart, because each has an index that holds its groups in order.
    rows = [
        row
        for kinds, column in _KINDS
        for row in session.execute(_extra_groups((*of_key, *kinds), column).limit(limit))
    ]
    totals = {row.kind == ExtraKind.TEXT: (int(row.total), row.distinct) for row in rows}
    rows = sorted(rows, key=lambda row: -row.tracks)[:limit]
    written = _written_extra(session, field.key, [row.oldest for row in rows])
    return Facet(
        field.name,
        [FacetValue(_extra_value(row, written), row.tracks) for row in rows],
        missing,
        sum(total for total, _ in totals.values()) - sum(row.tracks for row in rows),
        sum(distinct for _, distinct in totals.values()),
        _plain(low),
        _plain(high),
    )


_KINDS: Sequence[tuple[Where, ColumnElement[Any]]] = (
    ((TrackExtra.kind == ExtraKind.TEXT,), TrackExtra.text_key.expression),
    # An object has no value that could be named.
    (
        (TrackExtra.kind.in_((ExtraKind.NUMBER, ExtraKind.BOOLEAN)),),
        TrackExtra.number.expression,
    ),
)


def _extra_groups(of_key: Where, column: ColumnElement[Any]) -> Select[*tuple[Any, ...]]:
    """Each value with its tracks, the most frequent first."""
    groups = (
        select(
            TrackExtra.kind,
            column.label("value"),
            func.count().label("tracks"),
            func.min(TrackExtra.track_pk).label("oldest"),
        )
        .where(*of_key)
        .group_by(TrackExtra.kind, column)
        .subquery()
    )
    return select(
        groups,
        func.sum(groups.c.tracks).over().label("total"),
        func.count().over().label("distinct"),
    ).order_by(groups.c.tracks.desc(), groups.c.kind, groups.c.value)


def _written_extra(session: Session, key: str, pks: Collection[int]) -> dict[Any, str | None]:
    # Without the kind: SQLite would walk all texts of the key in its index instead of these tracks.
    query = select(TrackExtra.track_pk, TrackExtra.text_key, TrackExtra.text).where(
        TrackExtra.track_pk.in_(pks), TrackExtra.key == key
    )
    return {(row[0], row[1]): row[2] for row in session.execute(query)}


def _extra_value(row: Any, written: Mapping[Any, str | None]) -> Value:
    if row.kind == ExtraKind.TEXT:
        return written[row.oldest, row.value] or ""
    if row.kind == ExtraKind.BOOLEAN:
        return bool(row.value)
    number = _plain(row.value)
    assert number is not None, "every number has its own"
    return number


def _plain(number: float | None) -> int | float | None:
    """120 rather than 120.0, which the column made of it."""
    return int(number) if number is not None and number.is_integer() else number


# --- tags ---------------------------------------------------------------------------------------


def _tags(session: Session, field: Field, where: Where, tags: TagScope, limit: int) -> Facet:
    labels = {known.pk: known.label for known in tags.of_group(field.key)}
    of_group = (
        TagValue.label_pk.in_(labels),
        TagValue.assigned == true(),
        *_of_tracks(TagValue.track_pk.expression, where),
    )
    counts: dict[str, int] = {}
    query = select(TagValue.label_pk, func.count()).where(*of_group).group_by(TagValue.label_pk)
    for pk, tracks in session.execute(query):
        # A label of two versions is one to whoever reads it; no track has it in both.
        counts[labels[pk]] = counts.get(labels[pk], 0) + tracks
    tagged = select(func.count(TagValue.track_pk.distinct())).where(*of_group)
    missing = _count(session, where) - (session.scalar(tagged) or 0)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    values = [FacetValue(label, tracks) for label, tracks in ranked[:limit]]
    other = sum(tracks for _, tracks in ranked[limit:])
    return Facet(field.name, values, missing, other, len(ranked))


def _probability(session: Session, field: Field, where: Where, tags: TagScope) -> Facet:
    probability = TagValue.probability
    query = select(func.count(probability), func.min(probability), func.max(probability)).where(
        TagValue.label_pk.in_(tags.of_label(field.key, field.label)),
        *_of_tracks(TagValue.track_pk.expression, where),
    )
    present, low, high = session.execute(query).one()
    return Facet(field.name, [], _count(session, where) - present, 0, 0, low, high)


def _of_tracks(track_pk: ColumnElement[int], where: Where) -> list[ColumnElement[bool]]:
    return [track_pk.in_(select(Track.pk).where(*where))] if where else []


def _count(session: Session, where: Where) -> int:
    return session.scalar(select(func.count()).select_from(Track).where(*where)) or 0
