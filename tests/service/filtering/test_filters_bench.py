"""Prints what filters, facets and sorted pages of a large library cost; asserts no timing.

python -m pytest -m bench -s tests/service/filtering
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from sqlalchemy import insert, text

from service.database.engine import Database
from service.database.extra_values import extra_values
from service.database.folding import folded_key
from service.database.tables import (
    TagLabel,
    TagValue,
    Track,
    TrackExtra,
    TrackVector,
    Vocabulary,
    utc_now,
)
from service.filtering.parsing import parse_filter
from service.search.allowed import read_allowed
from service.tracks.facets import FacetService, parse_fields
from service.tracks.repository import TrackFilter, list_tracks
from tests.support.encoder import MODEL_ID

TRACKS = 100_000
LABELS = 40
ROUNDS = 5


def fill(database: Database) -> None:
    rng = np.random.default_rng(0)
    genres = [f"Genre {number}" for number in range(60)]
    artists = [f"Ärtist {number}" for number in range(8_000)]
    start = utc_now()
    with database.write() as session:
        session.add(Vocabulary(name="v", version=1, content={}, is_current=True, is_default=True))
        labels = [
            TagLabel(model_id=MODEL_ID, vocabulary="v", version=1, group_name=f"group{i % 4}",
                     label=f"label {i}", vector=b"")
            for i in range(LABELS)
        ]  # fmt: skip
        session.add_all(labels)
        session.flush()
        label_pks = [label.pk for label in labels]
    for first in range(1, TRACKS + 1, 5_000):
        tracks: list[dict[str, Any]] = []
        extras: list[dict[str, Any]] = []
        values: list[dict[str, Any]] = []
        vectors: list[dict[str, Any]] = []
        for pk in range(first, first + 5_000):
            genre = genres[int(60 * rng.random() ** 3)]
            names = {
                "title": f"Title {rng.integers(10**6)}",
                "artist": artists[int(8_000 * rng.random() ** 2)],
                "album": f"Album {rng.integers(20_000)}",
                "genre": genre if rng.random() < 0.9 else None,
            }
            extra = {
                "bpm": round(float(rng.normal(120, 20)), 1),
                "moods": [f"mood {one}" for one in rng.integers(0, 30, 2)],
                "cleared": bool(rng.random() < 0.5),
            }
            tracks.append(
                {
                    "pk": pk, "id": f"{pk:026}", "sha256": f"{pk:064}", "size_bytes": 1,
                    "filename": "a.mp3", "media_type": "audio/mpeg", "state": "ready",
                    "duration_s": float(rng.uniform(30, 600)),
                    "year": int(rng.integers(1950, 2026)), "extra": extra, "warnings": [], "peaks": rng.bytes(1_000),
                    "added_at": start + timedelta(seconds=pk), **names,
                    **{f"{name}_key": folded_key(value) for name, value in names.items()},
                }
            )  # fmt: skip
            extras += [
                {"track_pk": pk, **vars(value), "kind": value.kind.value}
                for value in extra_values(extra)
            ]
            scores = rng.random(LABELS)
            values += [
                {"track_pk": pk, "label_pk": label, "score": 0.1, "probability": float(score),
                 "assigned": bool(score > 0.9)}
                for label, score in zip(label_pks, scores, strict=True)
            ]  # fmt: skip
            vectors.append(
                {"track_pk": pk, "model_id": MODEL_ID, "clip_count": 20, "vector": b"\0" * 1_024}
            )
        with database.write() as session:
            for table, rows in (
                (Track, tracks), (TrackExtra, extras), (TagValue, values), (TrackVector, vectors),
            ):  # fmt: skip
                connection = session.connection()
                connection.execute(insert(table.__table__), rows)
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
            raw.execute(text("VACUUM ANALYZE"))


def measured(work: Callable[[], Any]) -> str:
    work()
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        work()
        times.append((time.perf_counter() - started) * 1000)
    return f"{statistics.median(times):7.0f} ms (worst {max(times):.0f})"


FILTERS: dict[str, Any] = {
    "everything": {"field": "state", "eq": "ready"},
    "one genre of 60": {"field": "genre", "eq": "genre 0"},
    "not that genre": {"field": "genre", "ne": "genre 0"},
    "one artist of 8,000": {"field": "artist", "eq": "artist 77"},
    "ten years": {"field": "year", "range": {"gte": 1990, "lt": 2000}},
    "bpm 118 to 122": {"field": "extra.bpm", "range": {"gte": 118, "lte": 122}},
    "not cleared": {"field": "extra.cleared", "ne": True},
    "one mood of 30": {"field": "extra.moods", "eq": "mood 7"},
    "a tag": {"field": "tags.group1", "eq": "label 1"},
    "a tag above 0.99": {"field": "tags.group1.label 1", "range": {"gt": 0.99}},
    "four together": {
        "and": [
            {"field": "genre", "in": ["genre 1", "genre 2", "genre 3"]},
            {"field": "year", "range": {"gte": 1980}},
            {"field": "extra.moods", "eq": "mood 7"},
            {"not": {"field": "tags.group2", "exists": True}},
        ]
    },
}
FACETS = [
    "genre", "artist", "album", "state", "year", "duration_s", "added_at", "extra.bpm",
    "extra.moods", "extra.cleared", "tags.group1", "tags.group1.label 1",
]  # fmt: skip


@pytest.mark.bench
def test_what_a_large_library_costs(database: Database) -> None:
    fill(database)
    print(f"\n{database.engine.dialect.name}, {TRACKS} tracks")
    for name, value in FILTERS.items():
        node = parse_filter(value)

        def allowed(node: Any = node) -> int:
            with database.read() as session:
                return read_allowed(session, node, MODEL_ID).pks.size

        print(f"filter  {name:22} {allowed():7} tracks {measured(allowed)}")
    facets = FacetService(database)
    for title, value in (("everything", None), ("ten years", FILTERS["ten years"])):
        wanted = TrackFilter(node=None if value is None else parse_filter(value))
        for field in FACETS:

            def facet(field: str = field, wanted: TrackFilter = wanted) -> Any:
                return facets.facets(parse_fields([field]), wanted, model_id=MODEL_ID, limit=20)

            print(f"facet   {field:22} under {title}: {measured(facet)}")
    print(f"fields  {measured(lambda: facets.fields(MODEL_ID))}")
    for sort in ("added_at", "title", "artist", "year"):

        def page(sort: Any = sort) -> Any:
            with database.read() as session:
                return list_tracks(session, sort=sort, descending=False, limit=50)

        print(f"page    by {sort:19} {measured(page)}")
