"""What the library's fields hold: counts of values, and the fields that there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.orm import Session

from service.database.engine import Database
from service.filtering.facets import Facet, read_facet
from service.filtering.fields import BadValue, parse_field
from service.filtering.known_fields import KnownField, list_fields
from service.filtering.nodes import Field, FieldKind, asks_tags, without_field
from service.filtering.parsing import InvalidField
from service.filtering.tag_scope import TagScope, read_tag_scope
from service.tracks.passing import PassingTracks
from service.tracks.repository import TrackFilter


def parse_fields(names: Sequence[str]) -> list[Field]:
    """Each field once, in order; raises InvalidField."""
    fields: dict[str, Field] = {}
    for name in names:
        try:
            fields[name] = parse_field(name)
        except BadValue as problem:
            raise InvalidField(f"A field {problem}.") from None
    return list(fields.values())


def needs_tags(fields: Sequence[Field], filter_: TrackFilter) -> bool:
    """Whether the counts depend on the tags that a model gave."""
    if filter_.node is not None and asks_tags(filter_.node):
        return True
    return any(field.kind in (FieldKind.TAGS, FieldKind.TAG) for field in fields)


class FacetService:
    """Counts over the whole library; every call reads one moment of it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def facets(
        self,
        fields: Sequence[Field],
        filter_: TrackFilter,
        *,
        model_id: str | None,
        limit: int,
    ) -> list[Facet]:
        """Each field's values under the filter without its own conditions.

        `model_id` is the one whose tags are meant, where `needs_tags`.
        """
        with self._database.snapshot() as session:
            tags = _tags(session, model_id)
            passing = PassingTracks(session)
            return [
                read_facet(
                    session, field, passing.where(_without(filter_, field, tags)), tags, limit
                )
                for field in fields
            ]

    def fields(self, model_id: str | None) -> list[KnownField]:
        """Every field that a filter may name; groups of tags under a model only."""
        with self._database.snapshot() as session:
            return list_fields(session, _tags(session, model_id))


def _tags(session: Session, model_id: str | None) -> TagScope:
    return TagScope() if model_id is None else read_tag_scope(session, model_id)


def _without(filter_: TrackFilter, field: Field, tags: TagScope) -> TrackFilter:
    node = None if filter_.node is None else without_field(filter_.node, field)
    return replace(filter_, node=node, tags=tags)
