"""What is a filter, what is not, and which node an error points at."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.filtering.nodes import (
    AllOf,
    AnyOf,
    Between,
    Exists,
    Field,
    FieldKind,
    Not,
    OneOf,
    asks_tags,
    identity,
    without_field,
)
from service.filtering.parsing import (
    MAX_DEPTH,
    MAX_NODES,
    MAX_VALUES,
    InvalidFilter,
    parse_filter,
    parse_filter_text,
)

GENRE = Field("genre", FieldKind.TEXT)
YEAR = Field("year", FieldKind.INTEGER)
ADDED = Field("added_at", FieldKind.TIME)


def test_every_form_of_a_node() -> None:
    assert parse_filter({"field": "genre", "eq": "Jazz"}) == OneOf(GENRE, ("Jazz",))
    assert parse_filter({"field": "genre", "ne": "Jazz"}) == Not(OneOf(GENRE, ("Jazz",)))
    assert parse_filter({"field": "genre", "in": ["a", "b"]}) == OneOf(GENRE, ("a", "b"))
    assert parse_filter({"field": "genre", "exists": True}) == Exists(GENRE)
    assert parse_filter({"field": "genre", "exists": False}) == Not(Exists(GENRE))
    assert parse_filter({"field": "year", "range": {"gte": 1990, "lt": 2000.5}}) == Between(
        YEAR, gte=1990, lt=2000.5
    )
    leaf = {"field": "year", "eq": 1990.0}
    assert parse_filter({"and": [leaf, {"or": [leaf]}, {"not": leaf}]}) == AllOf(
        (OneOf(YEAR, (1990,)), AnyOf((OneOf(YEAR, (1990,)),)), Not(OneOf(YEAR, (1990,))))
    )
    assert parse_filter_text('{"field": "year", "eq": 1990}') == OneOf(YEAR, (1990,))


def test_names_with_dots() -> None:
    assert parse_filter({"field": "extra.a.b", "eq": 1}).field == Field(  # type: ignore[union-attr]
        "extra.a.b", FieldKind.EXTRA, "a.b"
    )
    tag = parse_filter({"field": "tags.mood.r. & b", "range": {"gt": 0.5}})
    assert tag.field == Field(  # type: ignore[union-attr]
        "tags.mood.r. & b", FieldKind.TAG, "mood", "r. & b"
    )
    assert asks_tags(Not(tag))


def test_a_date_means_all_of_that_day() -> None:
    day, over = datetime(2026, 11, 22, tzinfo=UTC), datetime(2026, 11, 23, tzinfo=UTC)
    for operator, expected in (
        ({"eq": "2026-11-22"}, Between(ADDED, gte=day, lt=over)),
        ({"ne": "2026-11-22"}, Not(Between(ADDED, gte=day, lt=over))),
        ({"range": {"gt": "2026-11-22"}}, Between(ADDED, gte=over)),
        ({"range": {"gte": "2026-11-22"}}, Between(ADDED, gte=day)),
        ({"range": {"lt": "2026-11-22"}}, Between(ADDED, lt=day)),
        ({"range": {"lte": "2026-11-22"}}, Between(ADDED, lt=over)),
        ({"eq": "2026-11-22T00:00:00Z"}, OneOf(ADDED, (day,))),
        ({"eq": "2026-11-22T02:00:00+02:00"}, OneOf(ADDED, (day,))),
        ({"eq": "2026-11-22T00:00"}, OneOf(ADDED, (day,))),
        (
            {"in": ["2026-11-22", "2026-11-22T00:00Z"]},
            AnyOf((OneOf(ADDED, (day,)), Between(ADDED, gte=day, lt=over))),
        ),
        ({"in": ["2026-11-22"]}, AnyOf((Between(ADDED, gte=day, lt=over),))),
    ):
        assert parse_filter({"field": "added_at", **operator}) == expected


LEAF: dict[str, Any] = {"field": "year", "eq": 1990}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (None, "filter"),
        ([], "filter"),
        ({}, "filter"),
        ({"and": []}, "filter.and"),
        ({"or": LEAF}, "filter.or"),
        ({"not": [LEAF]}, "filter.not"),
        ({"and": [LEAF], "or": [LEAF]}, "filter"),
        ({"and": [LEAF], "field": "year"}, "filter"),
        ({"and": [LEAF, {"or": [LEAF, {"field": "odd", "eq": 1}]}]}, "filter.and[1].or[1].field"),
        ({"field": 7, "eq": 1}, "filter.field"),
        ({"field": "extra.", "eq": 1}, "filter.field"),
        ({"field": "extra." + "k" * 101, "eq": 1}, "filter.field"),
        ({"field": "tags.", "eq": "x"}, "filter.field"),
        ({"field": "tags.mood.", "eq": "x"}, "filter.field"),
        ({"field": "\ud800", "eq": "x"}, "filter.field"),
        ({"field": "year"}, "filter"),
        ({"field": "year", "eq": 1, "ne": 2}, "filter"),
        ({"field": "year", "like": 1}, "filter"),
        ({"field": "genre", "range": {"gt": "a"}}, "filter"),
        ({"field": "tags.mood.calm", "eq": 1}, "filter"),
        ({"field": "year", "eq": "1990"}, "filter.eq"),
        ({"field": "year", "eq": True}, "filter.eq"),
        ({"field": "year", "eq": 1990.5}, "filter.eq"),
        ({"field": "year", "eq": 10**30}, "filter.eq"),
        ({"field": "duration_s", "eq": float("inf")}, "filter.eq"),
        ({"field": "duration_s", "range": {"lt": float("nan")}}, "filter.range.lt"),
        ({"field": "genre", "eq": None}, "filter.eq"),
        ({"field": "genre", "eq": "x" * 501}, "filter.eq"),
        ({"field": "genre", "eq": "a\x00b"}, "filter.eq"),
        ({"field": "genre", "eq": "\ud800"}, "filter.eq"),
        ({"field": "state", "eq": "odd"}, "filter.eq"),
        ({"field": "state", "eq": []}, "filter.eq"),
        ({"field": "extra.x", "eq": None}, "filter.eq"),
        ({"field": "extra.x", "eq": [1]}, "filter.eq"),
        ({"field": "extra.x", "eq": {"a": 1}}, "filter.eq"),
        ({"field": "genre", "in": []}, "filter.in"),
        ({"field": "genre", "in": "Jazz"}, "filter.in"),
        ({"field": "year", "in": [1, "2"]}, "filter.in[1]"),
        ({"field": "year", "exists": 1}, "filter.exists"),
        ({"field": "year", "range": {}}, "filter.range"),
        ({"field": "year", "range": []}, "filter.range"),
        ({"field": "year", "range": {"gte": 1, "gt": 1}}, "filter.range"),
        ({"field": "year", "range": {"above": 1}}, "filter.range"),
        ({"field": "year", "range": {"gte": None}}, "filter.range.gte"),
        ({"field": "extra.x", "range": {"gte": 1, "lt": "b"}}, "filter.range"),
        ({"field": "extra.x", "range": {"gte": True}}, "filter.range.gte"),
        ({"field": "added_at", "eq": "yesterday"}, "filter.eq"),
        ({"field": "added_at", "eq": 5}, "filter.eq"),
        ({"field": "added_at", "range": {"lte": "9999-12-31"}}, "filter.range.lte"),
        ({"field": "added_at", "eq": "0001-01-01T00:00+14:00"}, "filter.eq"),
    ],
)  # fmt: skip
def test_an_error_points_at_its_node(value: Any, path: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        parse_filter(value)
    assert caught.value.details["path"] == path
    assert caught.value.message.startswith(path)
    json.dumps(caught.value.details).encode()


def test_limits() -> None:
    nested: Any = LEAF
    for _ in range(MAX_DEPTH - 1):
        nested = {"not": nested}
    parse_filter(nested)
    for bad in (
        {"not": nested},
        {"and": [LEAF] * MAX_NODES},
        {"field": "year", "in": list(range(MAX_VALUES + 1))},
        {"or": [{"field": "year", "in": list(range(MAX_VALUES))}, LEAF]},
    ):
        with pytest.raises(InvalidFilter):
            parse_filter(bad)
    parse_filter({"and": [LEAF] * (MAX_NODES - 1)})
    for text in ("", "{", "[" * 15_000, '{"field":"year","eq":1}' + " " * 16_000, "NaN"):
        with pytest.raises(InvalidFilter):
            parse_filter_text(text)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: (
        st.lists(children, max_size=4)
        | st.dictionaries(
            st.sampled_from(["and", "or", "not", "field", "eq", "in", "range", "gte", "exists"])
            | st.text(max_size=5),
            children,
            max_size=3,
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_anything_is_a_filter_or_refused(value: Any) -> None:
    problem: str | None = None
    try:
        json.dumps(identity(parse_filter(value)))
    except InvalidFilter as error:
        problem = error.details["path"]
    assert problem is None or problem.startswith("filter")


def test_a_name_tells_filters_apart() -> None:
    filters = [
        {"field": "year", "eq": 1},
        {"field": "year", "eq": 2},
        {"field": "year", "ne": 1},
        {"field": "year", "range": {"gte": 1}},
        {"field": "year", "range": {"gt": 1}},
        {"field": "year", "exists": True},
        {"field": "duration_s", "eq": 1},
        {"field": "extra.a", "eq": 1},
        {"field": "extra.a", "eq": True},
        {"field": "extra.a", "eq": "1"},
        {"and": [LEAF, LEAF]},
        {"or": [LEAF, LEAF]},
        {"field": "added_at", "eq": "2026-11-22T00:00Z"},
    ]
    names = {json.dumps(identity(parse_filter(value))) for value in filters}
    assert len(names) == len(filters)
    assert identity(None) is None


def test_a_facet_leaves_out_what_is_asked_of_its_own_field() -> None:
    genre, year = {"field": "genre", "eq": "Jazz"}, {"field": "year", "eq": 1990}
    parsed_year = parse_filter(year)
    for value, expected in (
        (genre, None),
        (year, parsed_year),
        ({"not": genre}, None),
        ({"and": [genre, year]}, AllOf((parsed_year,))),
        ({"or": [genre, genre]}, None),
        ({"or": [genre, year]}, None),
        ({"or": [year, year]}, AnyOf((parsed_year, parsed_year))),
        ({"and": [{"or": [genre, year]}, {"not": year}]}, AllOf((Not(parsed_year),))),
    ):
        assert without_field(parse_filter(value), GENRE) == expected
    mood = Field("tags.mood", FieldKind.TAGS, "mood")
    calm = {"field": "tags.mood.calm", "range": {"gt": 0.5}}
    voice = {"field": "tags.voice", "eq": "choir"}
    assert without_field(parse_filter({"and": [calm, voice]}), mood) == AllOf(
        (parse_filter(voice),)
    )
