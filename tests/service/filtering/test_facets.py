"""Facets against counting by hand, on both databases."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from service.database.engine import Database
from service.database.folding import fold
from service.filtering.facets import Facet
from service.filtering.parsing import InvalidField, parse_filter
from service.tracks.facets import FacetService, needs_tags, parse_fields
from service.tracks.repository import TrackFilter
from tests.service.filtering.oracle import DAYS, ROWS, passes, store, values_of
from tests.support.encoder import MODEL_ID
from tests.support.rows import new_track


def ask(
    database: Database,
    names: list[str],
    wanted: Any = None,
    limit: int = 20,
    text: str | None = None,
) -> list[Facet]:
    node = None if wanted is None else parse_filter(wanted)
    return FacetService(database).facets(
        parse_fields(names), TrackFilter(node=node, text=text), model_id=MODEL_ID, limit=limit
    )


def counted(facet: Facet) -> dict[Any, int]:
    return {(type(item.value), item.value): item.count for item in facet.values}


def plain(value: Any) -> Any:
    """A value as a facet groups it."""
    if isinstance(value, str):
        return (str, fold(value))
    if isinstance(value, bool):
        return (bool, value)
    return (float, float(value))


NAMES = ["genre", "artist", "state", "year", "extra.bpm", "extra.ok", "extra.n", "tags.mood"]


@pytest.mark.parametrize(
    "wanted",
    [
        None,
        {"field": "year", "range": {"gte": 1990}},
        {"and": [{"field": "genre", "eq": "jazz"}, {"field": "state", "eq": "ready"}]},
        {"or": [{"field": "extra.n", "eq": "a"}, {"field": "extra.bpm", "exists": True}]},
        {"not": {"field": "tags.mood", "exists": False}},
        {"field": "title", "eq": "no such title"},
    ],
)
def test_counts_are_those_of_counting_by_hand(database: Database, wanted: Any) -> None:
    with database.write() as session:
        store(session)
    for name, facet in zip(NAMES, ask(database, NAMES, wanted), strict=True):
        own = name if not name.startswith("tags.") else "tags.mood"
        rows = [row for row in ROWS if wanted is None or passes(lifted(wanted, own), row)]
        expected: Counter[Any] = Counter()
        for row in rows:
            values = [v for v in values_of(name, row) if not isinstance(v, dict)]
            expected.update({plain(value) for value in values})
        found = Counter({plain(item.value): item.count for item in facet.values})
        assert found == expected, name
        assert facet.missing == sum(not values_of(name, row) for row in rows), name
        assert facet.other == 0
        assert facet.distinct == len(expected)
        counts = [item.count for item in facet.values]
        assert counts == sorted(counts, reverse=True)


def lifted(wanted: dict[str, Any], name: str) -> dict[str, Any]:
    """The filter with every question about one field answered by yes."""
    anything: dict[str, Any] = {"field": "added_at", "exists": True}
    if "field" in wanted:
        return anything if wanted["field"] == name else wanted
    if "not" in wanted:
        inner = lifted(wanted["not"], name)
        return anything if inner == anything else {"not": inner}
    (operator,) = wanted
    return {operator: [lifted(child, name) for child in wanted[operator]]}


def test_values_beyond_the_limit_are_added_up(database: Database) -> None:
    with database.write() as session:
        for number in range(30):
            new_track(session, genre=f"g{number % 7}", extra={"k": number % 7})
    for name in ("genre", "extra.k"):
        (facet,) = ask(database, [name], limit=2)
        assert [item.count for item in facet.values] == [5, 5]
        assert (facet.other, facet.distinct, facet.missing) == (20, 7, 0)
    (numbers,) = ask(database, ["extra.k"], limit=2)
    assert [item.value for item in numbers.values] == [0, 1]
    assert (numbers.min, numbers.max) == (0, 6)


def test_a_value_is_shown_as_its_oldest_track_has_it(database: Database) -> None:
    with database.write() as session:
        for genre in ("Trip Hop", "TRIP  HOP", "trip hop", "trip hop"):
            new_track(session, genre=genre, extra={"k": [genre, genre.upper()]})
    facets = ask(database, ["genre", "extra.k"])
    for facet in facets:
        assert counted(facet) == {(str, "Trip Hop"): 4}
    later = {"field": "genre", "exists": True}
    assert counted(ask(database, ["extra.k"], later)[0]) == {(str, "Trip Hop"): 4}


def test_bounds_of_numbers_and_times(database: Database) -> None:
    with database.write() as session:
        store(session)
    names = ["year", "duration_s", "added_at", "extra.bpm", "tags.mood.calm", "title"]
    year, duration, added, bpm, calm, title = ask(database, names)
    assert (year.min, year.max, year.missing) == (0, 2000, 2)
    assert (duration.min, duration.max, duration.missing) == (0.0, 20.5, 1)
    assert (added.min, added.max, added.missing) == (DAYS[0], DAYS[2], 0)
    assert (bpm.min, bpm.max) == (60, 120)
    assert calm.min == pytest.approx(0.5)
    assert calm.max == pytest.approx(0.9)
    assert (calm.missing, title.min, title.max) == (8, None, None)
    assert duration.values == added.values == calm.values == []


def test_an_empty_library_has_empty_facets(database: Database) -> None:
    for facet in ask(database, [*NAMES, "duration_s", "added_at", "tags.mood.calm"]):
        assert facet == Facet(facet.field, [], 0, 0, 0)


def test_the_text_of_a_listing_narrows_facets_too(database: Database) -> None:
    with database.write() as session:
        new_track(session, title="needle", genre="Jazz")
        new_track(session, title="hay", genre="Rock")
    (facet,) = ask(database, ["genre"], text="needle")
    assert counted(facet) == {(str, "Jazz"): 1}


def test_fields_in_use_are_listed(database: Database) -> None:
    service = FacetService(database)
    with database.write() as session:
        store(session)
    found = {known.name: known for known in service.fields(MODEL_ID)}
    assert found["extra.n"].types == ["boolean", "number", "object", "text"]
    assert found["extra.n"].tracks == 6
    assert (found["extra.ok"].types, found["extra.ok"].tracks) == (["boolean", "number", "text"], 4)
    assert found["extra.bpm"].operators == ["eq", "exists", "in", "ne", "range"]
    assert found["year"].types == ["number"]
    assert found["year"].tracks is None
    assert found["tags.mood"].operators == ["eq", "exists", "in", "ne"]
    assert "tags.mood" not in {known.name for known in service.fields(None)}
    for name in found:
        parse_fields([name])


def test_fields_that_do_not_exist_are_refused() -> None:
    for name in ("", "odd", "extra.", "tags."):
        with pytest.raises(InvalidField):
            parse_fields(["genre", name])
    assert [field.name for field in parse_fields(["genre", "genre", "year"])] == ["genre", "year"]
    mood, genre = parse_fields(["tags.mood"]), parse_fields(["genre"])
    asks = TrackFilter(node=parse_filter({"field": "tags.mood", "eq": "calm"}))
    assert needs_tags(mood, TrackFilter())
    assert needs_tags(genre, asks)
    assert not needs_tags(genre, TrackFilter())
