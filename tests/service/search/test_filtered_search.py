"""Search behind a filter against brute force: exact at any selectivity, page by page."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.interface import Vectors
from service.database.engine import Database
from service.database.tables import Clip, Track, TrackState, TrackVector
from service.database.vectors import pack_vectors
from service.errors import InvalidCursor
from service.filtering.parsing import parse_filter
from service.ids import new_id
from service.index_sync.changes import append_change
from service.index_sync.projection import Projection
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.search.query import ClipPart, TextPart
from service.search.results import SearchOptions, SearchResult
from service.search.service import SearchService
from tests.support.encoder import EMBED_DIM, MODEL_ID, FakeEncoder

TRACKS = 1_000
YEARS = {1.0: (0, 9999), 0.5: (0, 499), 0.1: (0, 99), 0.01: (0, 9), 0.001: (7, 7), 0.0: (5000, 6)}
"""Bounds on the year that let this share of the tracks through: track i is of the year i."""


@dataclass
class Bench:
    """A library on which every answer is known: clip vectors [N, E] by track number."""

    search: SearchService
    clips: dict[int, Vectors]
    years: dict[int, int]

    def ask(self, query: Vectors, wanted: Any, **options: Any) -> SearchResult:
        part = ClipPart(query, digest=query.tobytes().hex()[:24])
        asked = SearchOptions(filter=parse_filter(wanted), passages=0, **options)
        return asyncio.run(self.search.search([part], asked))

    def expected(self, query: Vectors, level: str, low: int, high: int) -> list[tuple[int, float]]:
        """(track, start) of every hit that passes, best first."""
        wide = query.astype(np.float64)
        found: list[tuple[float, int, float]] = []
        for pk, clips in self.clips.items():
            if not low <= self.years[pk] <= high:
                continue
            if level == "track":
                mean = clips.mean(axis=0).astype(np.float16).astype(np.float64)
                found.append((-float(mean @ wide), pk, 0.0))
            else:
                scores = (clips.astype(np.float64) @ wide).tolist()
                found += [(-score, pk, 10.0 * place) for place, score in enumerate(scores)]
        return [(pk, start_s) for _, pk, start_s in sorted(found)]


def fill(database: Database) -> tuple[dict[int, Vectors], dict[int, int]]:
    rng = np.random.default_rng(1)
    clips: dict[int, Vectors] = {}
    years: dict[int, int] = {}
    with database.write() as session:
        for year in rng.permutation(TRACKS).tolist():
            rows = rng.standard_normal((int(rng.integers(1, 4)), EMBED_DIM)).astype(np.float32)
            rows /= np.linalg.norm(rows, axis=1, keepdims=True)
            rows = rows.astype(np.float16).astype(np.float32)
            public_id = new_id()
            track = Track(
                id=public_id,
                sha256=public_id.encode().hex().ljust(64, "0")[:64],
                size_bytes=1,
                filename="a.wav",
                media_type="audio/wav",
                state=TrackState.READY,
                year=year,
                artist="Ärtist" if year % 2 else None,
            )
            session.add(track)
            session.flush()
            session.add_all(
                Clip(track_pk=track.pk, model_id=MODEL_ID, position=i, start_s=10.0 * i,
                     end_s=10.0 * i + 10, vector=vector)
                for i, vector in enumerate(pack_vectors(rows))
            )  # fmt: skip
            (mean,) = pack_vectors(rows.mean(axis=0)[np.newaxis])
            session.add(
                TrackVector(track_pk=track.pk, model_id=MODEL_ID, clip_count=len(rows), vector=mean)
            )
            append_change(session, "publish", track.pk, MODEL_ID)
            clips[track.pk], years[track.pk] = rows, year
    return clips, years


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Iterator[Bench]:
    thread = ModelThread()
    encoder = EncoderHandle(FakeEncoder, thread)
    encoder.wait()
    clips, years = fill(database)
    projection = Projection(database, tmp_path / "index", encoder)
    projection.open()
    texts = TextEmbedder(encoder, thread)
    yield Bench(SearchService(database, projection, texts, encoder), clips, years)
    projection.stop()
    thread.close()


def query_of(seed: int) -> Vectors:
    raw = np.random.default_rng(seed).standard_normal(EMBED_DIM).astype(np.float32)
    vector: Vectors = raw / np.linalg.norm(raw)
    return vector


def found(result: SearchResult, level: str) -> list[tuple[int, float]]:
    return [
        (hit.track.pk, hit.passages[0].start_s if level == "passage" else 0.0)
        for hit in result.items
    ]


def test_a_filtered_search_is_exact_at_any_selectivity(bench: Bench) -> None:
    for seed, level in ((3, "track"), (4, "passage")):
        query = query_of(seed)
        for share, (low, high) in YEARS.items():
            wanted = {"field": "year", "range": {"gte": low, "lte": high}}
            expected = bench.expected(query, level, low, high)
            tracks = {pk for pk, _ in expected}
            assert len(tracks) == round(share * TRACKS)
            seen: list[tuple[int, float]] = []
            cursor = None
            for _ in range(4):
                page = bench.ask(query, wanted, level=level, limit=40, cursor=cursor)
                assert not page.approximate
                assert [hit.rank for hit in page.items] == list(
                    range(len(seen) + 1, len(seen) + 1 + len(page.items))
                )
                seen += found(page, level)
                cursor = page.next_cursor
                if cursor is None:
                    break
            assert seen == expected[:160], (share, level)
            assert (cursor is None) == (len(expected) <= 160)


def test_a_filter_against_the_grain_is_exact_too(bench: Bench) -> None:
    """Half of the library passes, and none of it is near the query."""
    query = query_of(5)
    order = [pk for pk, _ in bench.expected(query, "track", 0, 9999)]
    far = order[TRACKS // 2 :]
    bench.years.update(dict.fromkeys(order[: TRACKS // 2], 10000))
    with bench.search._database.write() as session:
        for pk in order[: TRACKS // 2]:
            session.get_one(Track, pk).year = None
    page = bench.ask(query, {"field": "year", "exists": True}, limit=100)
    assert [pk for pk, _ in found(page, "track")] == far[:100]
    nothing = bench.ask(query, {"field": "year", "exists": False}, limit=100)
    assert [pk for pk, _ in found(nothing, "track")] == order[:100]


def test_a_cursor_belongs_to_its_filter(bench: Bench) -> None:
    query = query_of(6)
    wanted = {"field": "artist", "eq": "artist"}
    first = bench.ask(query, wanted, limit=5)
    assert first.next_cursor is not None
    second = bench.ask(query, wanted, limit=5, cursor=first.next_cursor)
    assert [hit.rank for hit in second.items] == [6, 7, 8, 9, 10]
    with pytest.raises(InvalidCursor):
        bench.ask(query, {"field": "artist", "ne": "artist"}, cursor=first.next_cursor)
    unfiltered = bench.search.search(
        [ClipPart(query, digest=query.tobytes().hex()[:24])],
        SearchOptions(cursor=first.next_cursor),
    )
    with pytest.raises(InvalidCursor):
        asyncio.run(unfiltered)


def test_a_track_that_is_not_ready_passes_no_filter(bench: Bench) -> None:
    with bench.search._database.write() as session:
        track = session.get_one(Track, next(iter(bench.clips)))
        track.state = TrackState.FAILED
        year = track.year
    for level in ("track", "passage"):
        asked = SearchOptions(filter=parse_filter({"field": "year", "eq": year}), level=level)
        answer = asyncio.run(bench.search.search([TextPart("low")], asked))
        assert answer.items == []
