"""The wire types of filters: validated by the parser of filters itself, described for OpenAPI here.

A value that is not a filter raises InvalidFilter, with the path to the node that is wrong; a union
of wire types would tell of every alternative that the node is not.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    PlainValidator,
    RootModel,
    WithJsonSchema,
)
from pydantic_core import core_schema

from service.filtering.nodes import Filter
from service.filtering.parsing import MAX_CHARS, MAX_NODES, MAX_VALUES, parse_filter
from service.filtering.parsing import parse_filter_text as parse_filter_text

Plain = str | float | bool


class _Described(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FilterAnd(_Described):
    """All of these conditions hold."""

    all_of: Annotated[list[FilterNode], Field(alias="and", min_length=1)]


class FilterOr(_Described):
    """At least one of these conditions holds."""

    any_of: Annotated[list[FilterNode], Field(alias="or", min_length=1)]


class FilterNot(_Described):
    """The exact opposite of a condition; nothing is left out by both."""

    negated: Annotated[FilterNode, Field(alias="not")]


def _no_default(schema: dict[str, Any]) -> None:
    schema.pop("default", None)  # left out means no bound; null is not accepted


_Bound = Annotated[str | float, Field(json_schema_extra=_no_default)]


class FilterBounds(_Described):
    """A lower bound (gte or gt), an upper one (lte or lt), or one of each.

    A date without a time means all of that day.
    """

    gte: _Bound = 0
    gt: _Bound = 0
    lte: _Bound = 0
    lt: _Bound = 0


_Name = Annotated[
    str,
    Field(
        description="title, artist, album, genre, year, duration_s, added_at, state, extra.<key>, "
        "tags.<group> (labels that the track was given) or tags.<group>.<label> (its probability, "
        "for range and exists).",
        examples=["genre", "extra.bpm", "tags.mood"],
    ),
]


class FilterEq(_Described):
    """The field has this value, a list holds it; the case and accents of texts do not count."""

    field: _Name
    eq: Plain


class FilterNe(_Described):
    """The opposite of eq: true of a track that has no value, too."""

    field: _Name
    ne: Plain


class FilterIn(_Described):
    """The field has one of these values."""

    field: _Name
    one_of: Annotated[list[Plain], Field(alias="in", min_length=1, max_length=MAX_VALUES)]


class FilterRange(_Described):
    """The field lies within bounds; numbers, times, and texts of `extra` do."""

    field: _Name
    range: FilterBounds


class FilterExists(_Described):
    """The field has a value, or has none."""

    field: _Name
    exists: bool


class FilterNode(
    RootModel[
        FilterAnd
        | FilterOr
        | FilterNot
        | FilterEq
        | FilterNe
        | FilterIn
        | FilterRange
        | FilterExists
    ]
):
    """Which tracks: conditions on their fields, joined by and, or, not."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "and": [
                        {"field": "genre", "in": ["Ambient", "Jazz"]},
                        {"field": "year", "range": {"gte": 1990, "lt": 2000}},
                        {"not": {"field": "extra.explicit", "eq": True}},
                    ]
                }
            ]
        }
    )


class _ParsedByUs:
    """Validates by `parse_filter`, and is described as FilterNode."""

    def __get_pydantic_core_schema__(
        self, _source: Any, handler: GetCoreSchemaHandler
    ) -> core_schema.CoreSchema:
        return core_schema.no_info_plain_validator_function(
            parse_filter, json_schema_input_schema=handler.generate_schema(FilterNode)
        )


FilterBody = Annotated[Filter, _ParsedByUs()]
"""A filter inside a JSON body."""

FilterText = Annotated[
    Any,
    PlainValidator(parse_filter_text, json_schema_input_type=str),
    WithJsonSchema(
        {
            "type": "string",
            "maxLength": MAX_CHARS,
            "contentMediaType": "application/json",
            "description": f"A filter as JSON (FilterNode), of {MAX_NODES} conditions at most.",
            "examples": ['{"field":"genre","eq":"Jazz"}'],
        }
    ),
]
"""A filter inside an address, as JSON text."""
