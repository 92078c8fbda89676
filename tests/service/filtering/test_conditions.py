"""Compiled filters against plain Python, on both databases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.tables import Track
from service.filtering.conditions import condition
from service.filtering.parsing import parse_filter
from service.filtering.tag_scope import TagScope, read_tag_scope
from tests.service.filtering.oracle import DAYS, ROWS, passes, store
from tests.support.encoder import MODEL_ID

texts = st.sampled_from(["Jazz", "JAZZ", "bjork", "Ete", "a", "ä", "true", "120", "1", "nothing"])
numbers = st.sampled_from([0, 1, 1.5, 10, 60, 90.5, 120, 1990, 1995, 2000, -1])
times = st.sampled_from([day.isoformat() for day in DAYS])
scalars = texts | numbers | st.booleans()
probabilities = st.sampled_from([0, 0.25, 0.5, 0.75, 0.9, 1])


def bounds_of(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Mapping[str, Any]]:
    lower = st.tuples(st.sampled_from(["gte", "gt"]), values).map(lambda pair: dict([pair]))
    upper = st.tuples(st.sampled_from(["lte", "lt"]), values).map(lambda pair: dict([pair]))
    return lower | upper | st.tuples(lower, upper).map(lambda pair: pair[0] | pair[1])


def leaf_of(
    names: list[str], values: st.SearchStrategy[Any], bounds: st.SearchStrategy[Any] | None
) -> st.SearchStrategy[dict[str, Any]]:
    asked = [
        values.map(lambda value: {"eq": value}),
        values.map(lambda value: {"ne": value}),
        st.lists(values, min_size=1, max_size=3).map(lambda some: {"in": some}),
        st.booleans().map(lambda wanted: {"exists": wanted}),
    ]
    if bounds is not None:
        asked.append(bounds_of(bounds).map(lambda found: {"range": found}))
    name = st.sampled_from(names).map(lambda one: {"field": one})
    return st.tuples(name, st.one_of(asked)).map(lambda pair: pair[0] | pair[1])


tag_range = st.tuples(
    st.sampled_from(["tags.mood.calm", "tags.mood.wild", "tags.voice.none", "tags.no.no"]),
    bounds_of(probabilities).map(lambda found: {"range": found})
    | st.booleans().map(lambda wanted: {"exists": wanted}),
).map(lambda pair: {"field": pair[0], **pair[1]})
extra_keys = ["extra.bpm", "extra.ok", "extra.n", "extra.nothing"]
leaves = st.one_of(
    leaf_of(["title", "artist", "genre"], texts, None),
    leaf_of(["state"], st.sampled_from(["ready", "failed", "pending"]), None),
    leaf_of(["year"], st.sampled_from([0, 1990, 1995, 2000]), numbers),
    leaf_of(["duration_s"], numbers, numbers),
    leaf_of(["added_at"], times, times),
    leaf_of(extra_keys, scalars, numbers),
    leaf_of(extra_keys, scalars, texts),
    leaf_of(["tags.mood", "tags.voice", "tags.no"], st.sampled_from(["calm", "WILD", "x"]), None),
    tag_range,
)
filters = st.recursive(
    leaves,
    lambda children: st.one_of(
        st.lists(children, min_size=1, max_size=3).map(lambda some: {"and": some}),
        st.lists(children, min_size=1, max_size=3).map(lambda some: {"or": some}),
        children.map(lambda one: {"not": one}),
    ),
    max_leaves=6,
)


def matching(session: Session, wanted: Any, tags: TagScope, pks: list[int]) -> list[int]:
    """The places in ROWS of the tracks that pass."""
    query = select(Track.pk).where(condition(parse_filter(wanted), tags))
    return sorted(pks.index(pk) for pk in session.scalars(query))


def test_a_filter_means_what_it_says(database: Database) -> None:
    with database.write() as session:
        pks = store(session)
    with database.read() as session:
        tags = read_tag_scope(session, MODEL_ID)

        @settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))
        @given(filters)
        def check(wanted: dict[str, Any]) -> None:
            expected = [place for place, row in enumerate(ROWS) if passes(wanted, row)]
            assert matching(session, wanted, tags, pks) == expected
            opposite = [place for place in range(len(ROWS)) if place not in expected]
            assert matching(session, {"not": wanted}, tags, pks) == opposite

        check()


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"field": "artist", "eq": "bjork"}, [0, 1, 3]),
        ({"field": "artist", "ne": "Björk"}, [2, 4, 5, 6, 7, 8, 9]),
        ({"field": "genre", "exists": False}, [2, 3]),
        ({"field": "year", "range": {"gte": 1990, "lt": 1995}}, [0, 1, 3]),
        ({"not": {"field": "year", "range": {"gte": 0}}}, [2, 8]),
        ({"field": "year", "range": {"gt": 1990.5, "lt": 2**40}}, [1, 5, 6, 7]),
        ({"field": "duration_s", "in": [0, 1.5]}, [4, 5]),
        ({"field": "added_at", "eq": "2026-01-02"}, [1, 4, 8]),
        ({"field": "extra.bpm", "eq": 120}, [0, 6]),
        ({"field": "extra.bpm", "eq": "120"}, [3]),
        ({"field": "extra.bpm", "range": {"gt": 90}}, [0, 1, 6]),
        ({"field": "extra.bpm", "range": {"gt": "1"}}, [3]),
        ({"field": "extra.bpm", "exists": True}, [0, 1, 3, 6]),
        ({"field": "extra.ok", "eq": True}, [0]),
        ({"field": "extra.ok", "ne": True}, [1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ({"field": "extra.n", "eq": "a"}, [4, 5]),
        ({"field": "extra.n", "eq": True}, [5]),
        ({"field": "extra.n", "in": [1, "B"]}, [0, 4, 8]),
        ({"field": "extra.n", "exists": True}, [0, 3, 4, 5, 6, 8]),
        ({"field": "tags.mood", "eq": "CALM"}, [7, 9]),
        ({"field": "tags.mood", "ne": "calm"}, [0, 1, 2, 3, 4, 5, 6, 8]),
        ({"field": "tags.mood", "exists": True}, [7, 8, 9]),
        ({"field": "tags.mood.calm", "range": {"gte": 0.5}}, [7, 8]),
        ({"field": "tags.mood.calm", "range": {"gte": 0.9, "lte": 0.9}}, [7]),
        ({"field": "tags.mood.calm", "range": {"gt": 0.9}}, []),
        ({"field": "tags.mood.calm", "exists": False}, [0, 1, 2, 3, 4, 5, 6, 9]),
        ({"field": "tags.unknown", "exists": False}, list(range(10))),
    ],
)
def test_examples(database: Database, wanted: Any, expected: list[int]) -> None:
    with database.write() as session:
        pks = store(session)
        tags = read_tag_scope(session, MODEL_ID)
        assert [place for place, row in enumerate(ROWS) if passes(wanted, row)] == expected
        assert matching(session, wanted, tags, pks) == expected


def test_tags_of_another_model_or_vocabulary_do_not_count(database: Database) -> None:
    with database.write() as session:
        pks = store(session)
        tags = read_tag_scope(session, "another-model")
        assert tags == TagScope()
        assert matching(session, {"field": "tags.mood", "exists": True}, tags, pks) == []
        with pytest.raises(ValueError, match="needs to know"):
            condition(parse_filter({"field": "tags.mood", "exists": True}), None)


def test_a_long_list_of_values_is_no_trouble(database: Database) -> None:
    with database.write() as session:
        pks = store(session)
        for name in ("year", "extra.n"):
            wanted = {"field": name, "in": list(range(1_000))}
            expected = [place for place, row in enumerate(ROWS) if passes(wanted, row)]
            assert matching(session, wanted, TagScope(), pks) == expected
