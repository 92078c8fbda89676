"""Wire types of facets and of changes to many tracks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, model_validator

from service.api.filter_schemas import FilterBody
from service.api.schemas import TrackMetadata, Wire
from service.tracks.bulk import MAX_UPDATES


class FacetValue(Wire):
    value: str | bool | int | float = Field(
        description="As the oldest of its tracks has it written; fit for eq in a filter."
    )
    count: int = Field(description="Tracks that have it.")


class Facet(Wire):
    """A field's values under the filter, without what the filter asks of this field itself."""

    field: str
    values: list[FacetValue] = Field(description="The most frequent first; none for durations.")
    missing: int = Field(description="Tracks without a value.")
    other: int = Field(description="The counts of the values that are not listed, added up.")
    distinct: int = Field(description="How many different values there are.")
    min: int | float | datetime | None = Field(description="Of numbers and times.")
    max: int | float | datetime | None


class FacetList(Wire):
    items: list[Facet] = Field(description="In the order in which they were asked for.")


class KnownField(Wire):
    """A field that a filter may name."""

    name: str = Field(examples=["genre", "extra.bpm"])
    types: list[str] = Field(description="text, number, boolean, time, object.")
    operators: list[str]
    tracks: int | None = Field(description="Tracks that have this key of `extra`; else null.")


class FieldList(Wire):
    items: list[KnownField]


class Selection(Wire):
    """Either some ids, or all tracks that a filter (and q) lets through."""

    ids: Annotated[
        list[Annotated[str, Field(max_length=64)]], Field(min_length=1, max_length=MAX_UPDATES)
    ] | None = None  # fmt: skip
    filter: FilterBody | None = None
    q: (
        Annotated[str, Field(min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0e-\x1f]*$")]
        | None
    ) = Field(None, description="In title, artist, album or file name, as in GET /tracks.")
    expected: Annotated[int, Field(ge=0)] | None = Field(
        None, description="Refuse with selection_changed if another number of tracks matches."
    )
    dry_run: bool = Field(False, description="Only count; nothing is changed.")

    @model_validator(mode="after")
    def _says_which(self) -> Self:
        by_filter = self.filter is not None or self.q is not None
        if (self.ids is not None) == by_filter:
            raise ValueError("give either ids, or a filter or q")
        return self


class BulkUpdate(Selection):
    set: TrackMetadata = Field(
        description="Fields to change; null clears one. Keys of `extra` are merged: a null removes "
        "one, keys that are not named stay."
    )

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.set.model_fields_set:
            raise ValueError("set holds nothing to change")
        return self


class BulkDelete(Selection):
    """Which tracks to delete."""


class BulkResult(Wire):
    matched: int = Field(description="Tracks that the ids or the filter name.")
    changed: int = Field(description="Tracks that were changed or deleted; 0 after a dry run.")
    missing: list[str] = Field(description="Ids that no track has.")
    too_large: list[str] = Field(description="Left alone: their `extra` would outgrow 32 kB.")
    dry_run: bool
