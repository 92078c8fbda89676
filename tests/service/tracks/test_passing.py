"""Facets behind costly filters: the same whether their tracks are named, walked to or asked for."""

from __future__ import annotations

from typing import Any

import pytest

from service.database.engine import Database
from service.filtering.parsing import parse_filter
from service.tracks import passing
from service.tracks.facets import FacetService, parse_fields
from service.tracks.repository import TrackFilter
from tests.service.filtering.oracle import store
from tests.support.encoder import MODEL_ID

FIELDS = ["genre", "artist", "year", "duration_s", "extra.bpm", "extra.n", "tags.mood"]
COSTLY: list[tuple[Any, str | None]] = [
    ({"field": "extra.bpm", "exists": True}, None),
    ({"not": {"field": "tags.mood", "exists": True}}, None),
    ({"and": [{"field": "extra.n", "exists": True}, {"field": "year", "exists": True}]}, None),
    ({"field": "extra.bpm", "range": {"gt": 1e9}}, None),
    (None, "a"),
]


@pytest.mark.parametrize(("wanted", "text"), COSTLY)
def test_each_way_counts_the_same(
    database: Database, monkeypatch: pytest.MonkeyPatch, wanted: Any, text: str | None
) -> None:
    with database.write() as session:
        store(session)
    node = None if wanted is None else parse_filter(wanted)

    def facets(most_named: int, scanned_from: int) -> Any:
        monkeypatch.setattr(passing, "MOST_NAMED", most_named)
        monkeypatch.setattr(passing, "SCANNED_FROM", scanned_from)
        return FacetService(database).facets(
            parse_fields(FIELDS), TrackFilter(node=node, text=text), model_id=MODEL_ID, limit=20
        )

    asked = facets(0, 0)
    assert facets(1_000, 1_000) == asked, "looked up by number"
    assert facets(1_000, 0) == asked, "walked to"


def test_a_cheap_filter_is_asked_as_it_is(database: Database) -> None:
    filter_ = TrackFilter(node=parse_filter({"field": "genre", "eq": "jazz"}))
    with database.read() as session:
        (condition,) = passing.PassingTracks(session).where(filter_)
    assert str(condition) == str(filter_.conditions()[0])
