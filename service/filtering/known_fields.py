"""Every field that a filter may name here and now, for whoever builds one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from service.database.tables import TrackExtra
from service.filtering.fields import EXTRA, FIELDS, OPERATORS, TAGS
from service.filtering.nodes import FieldKind
from service.filtering.tag_scope import TagScope

MAX_KEYS = 500
_TYPES = {
    FieldKind.TEXT: "text",
    FieldKind.STATE: "text",
    FieldKind.INTEGER: "number",
    FieldKind.NUMBER: "number",
    FieldKind.TIME: "time",
    FieldKind.TAGS: "text",
    FieldKind.TAG: "number",
}


@dataclass(frozen=True)
class KnownField:
    """A field, the types of its values, what may be asked of it, and how many tracks have it.

    `tracks` is None for what every track may have.
    """

    name: str
    types: list[str]
    operators: list[str]
    tracks: int | None = None


def list_fields(session: Session, tags: TagScope) -> list[KnownField]:
    """Fixed fields, then the keys of `extra` that most tracks have, then groups of tags."""
    fixed = [_known(name, kind) for name, kind in FIELDS.items()]
    groups = [
        _known(TAGS + group, FieldKind.TAGS)
        for group in dict.fromkeys(label.group for label in tags.labels)
    ]
    return [*fixed, *_extra_fields(session), *groups]


def _known(name: str, kind: FieldKind) -> KnownField:
    return KnownField(name, [_TYPES[kind]], sorted(OPERATORS[kind]))


def _extra_fields(session: Session) -> Iterator[KnownField]:
    # Each track has one row at position 0 of each of its keys, of whatever kind.
    has_key = func.sum(case((TrackExtra.position == 0, 1), else_=0))
    by_kind = (
        select(TrackExtra.key, TrackExtra.kind, has_key.label("tracks"))
        .group_by(TrackExtra.key, TrackExtra.kind)
        .order_by(TrackExtra.key, TrackExtra.kind)
    )
    kinds: dict[str, list[str]] = {}
    tracks: dict[str, int] = {}
    for row in session.execute(by_kind):
        kinds.setdefault(row.key, []).append(row.kind)
        tracks[row.key] = tracks.get(row.key, 0) + int(row.tracks)
    operators = sorted(OPERATORS[FieldKind.EXTRA])
    for key in sorted(tracks, key=lambda one: (-tracks[one], one))[:MAX_KEYS]:
        yield KnownField(EXTRA + key, kinds[key], operators, tracks[key])
