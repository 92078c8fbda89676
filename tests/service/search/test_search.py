"""Search against brute force: exactness, mixing, paging, deletion, on both databases."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from models.interface import Vectors
from models.relevance import relevance_scale
from service.database.engine import Database
from service.database.tables import Track, TrackState
from service.errors import InvalidCursor, TrackNotFound, TrackNotReady
from service.index_sync.projection import Projection
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.search.query import ClipPart, Part, TextPart, TrackPart
from service.search.results import SearchOptions, SearchResult
from service.search.service import SearchService
from service.search.vectors import SpanOutsideTrack
from service.tracks.service import TrackService
from tests.support.encoder import BANDS, EMBED_DIM, MODEL_ID, FakeEncoder
from tests.support.stored_tracks import add_ready_track, random_clips


@dataclass
class Bench:
    """Search over tracks with random vectors, and what it should find by brute force."""

    database: Database
    projection: Projection
    search: SearchService
    clips: dict[str, Vectors]

    def add(self, clips: Vectors, **fields: object) -> Track:
        track = add_ready_track(self.database, clips, **fields)
        self.clips[track.id] = clips.astype(np.float16).astype(np.float32)
        self.projection.catch_up()
        return track

    def ask(self, *parts: Part, **options: object) -> SearchResult:
        return asyncio.run(self.search.search(parts, SearchOptions(**options)))  # type: ignore[arg-type]

    def best_tracks(self, query: Vectors) -> list[str]:
        means = {
            track_id: clips.mean(axis=0).astype(np.float16).astype(np.float64)
            for track_id, clips in self.clips.items()
        }
        return sorted(means, key=lambda track_id: -float(means[track_id] @ query))


@pytest.fixture
def bench(database: Database, tmp_path: Path) -> Iterator[Bench]:
    thread = ModelThread()
    encoder = EncoderHandle(FakeEncoder, thread)
    encoder.wait()
    projection = Projection(database, tmp_path / "index", encoder)
    projection.open()
    texts = TextEmbedder(encoder, thread)
    yield Bench(database, projection, SearchService(database, projection, texts, encoder), {})
    projection.stop()
    thread.close()


def fill(bench: Bench, count: int, seed: int = 1) -> list[Track]:
    rng = np.random.default_rng(seed)
    tracks = []
    for _ in range(count):
        clips = random_clips(rng, int(rng.integers(1, 5)), EMBED_DIM)
        tracks.append(add_ready_track(bench.database, clips))
        bench.clips[tracks[-1].id] = clips.astype(np.float16).astype(np.float32)
    bench.projection.catch_up()
    return tracks


def clip_part(vector: Vectors) -> ClipPart:
    return ClipPart(vector, digest=vector.tobytes().hex()[:24])


def ids(result: SearchResult) -> list[str]:
    return [hit.track.id for hit in result.items]


def test_the_order_and_scores_are_those_of_brute_force(bench: Bench) -> None:
    fill(bench, 110)
    query = random_clips(np.random.default_rng(9), 1, EMBED_DIM)[0]
    found = bench.ask(clip_part(query), limit=100)
    assert ids(found) == bench.best_tracks(query)[:100]
    assert not found.approximate
    scale = relevance_scale(query, FakeEncoder().reference)
    one_rank = 1 / len(FakeEncoder().reference)  # float32 parts scores that are equal
    for hit in found.items:
        mean = bench.clips[hit.track.id].mean(axis=0)
        assert hit.score == pytest.approx(float(mean @ query), abs=1e-3)
        assert hit.relevance == pytest.approx(scale.relevance(hit.score), abs=one_rank)
        scores = bench.clips[hit.track.id] @ query
        best = np.argsort(-scores)[:3]
        assert [passage.start_s for passage in hit.passages] == [10.0 * i for i in best]
        assert hit.passages[0].score == pytest.approx(float(scores.max()), abs=1e-5)
    assert [hit.rank for hit in found.items] == list(range(1, 101))


def test_passages_are_ranked_over_the_whole_library(bench: Bench) -> None:
    fill(bench, 60)
    query = random_clips(np.random.default_rng(9), 1, EMBED_DIM)[0]
    expected = sorted(
        ((track_id, 10.0 * i, float(score))
         for track_id, clips in bench.clips.items()
         for i, score in enumerate(clips @ query)),
        key=lambda row: -row[2],
    )  # fmt: skip
    found = bench.ask(clip_part(query), level="passage", limit=50)
    got = [(hit.track.id, hit.passages[0].start_s, hit.score) for hit in found.items]
    assert [row[:2] for row in got] == [row[:2] for row in expected[:50]]
    np.testing.assert_allclose([r[2] for r in got], [r[2] for r in expected[:50]], atol=1e-5)


def test_a_stored_track_finds_its_likes_and_not_itself(bench: Bench) -> None:
    fill(bench, 20)
    clips = random_clips(np.random.default_rng(3), 2, EMBED_DIM)
    original = bench.add(clips)
    twin = bench.add(clips[::-1].copy())
    for level in ("track", "passage"):
        found = bench.ask(TrackPart(original.id), level=level)
        assert original.id not in ids(found)
        assert ids(found)[0] == twin.id
    unwanted = bench.ask(TrackPart(original.id, weight=-1.0), limit=100)
    assert ids(unwanted)[-1] == twin.id
    assert original.id not in ids(unwanted)


def test_a_span_of_a_track_stands_for_its_own_clips(bench: Bench) -> None:
    rng = np.random.default_rng(4)
    clips = random_clips(rng, 3, EMBED_DIM)
    original = bench.add(clips)
    likes = [bench.add(clips[i : i + 1]) for i in range(3)]
    for i, like in enumerate(likes):
        span = TrackPart(original.id, start_s=10.0 * i, end_s=10.0 * i + 5)
        assert ids(bench.ask(span))[0] == like.id
    assert ids(bench.ask(TrackPart(original.id, start_s=25.0)))[0] == likes[2].id
    with pytest.raises(SpanOutsideTrack):
        bench.ask(TrackPart(original.id, start_s=30.0))


def test_a_negative_weight_lowers_what_it_names(bench: Bench) -> None:
    fill(bench, 30)
    bass, mixed = np.zeros(EMBED_DIM, np.float32), np.zeros(EMBED_DIM, np.float32)
    bass[0], mixed[0], mixed[BANDS] = 1.0, 0.8, 0.6
    disliked = np.zeros(EMBED_DIM, np.float32)
    disliked[BANDS] = 1.0
    plain, both = bench.add(bass[np.newaxis]), bench.add(mixed[np.newaxis])
    wanted = clip_part(mixed)
    assert ids(bench.ask(wanted))[0] == both.id
    without = bench.ask(wanted, replace(clip_part(disliked), weight=-0.6))
    assert ids(without)[0] == plain.id
    without = bench.ask(wanted, replace(clip_part(disliked), weight=-0.6), limit=100)
    scores = {hit.track.id: hit.score for hit in without.items}
    before = {hit.track.id: hit.score for hit in bench.ask(wanted).items}
    assert scores[both.id] < before[both.id] - 0.1


def test_pages_repeat_and_skip_nothing_while_the_library_changes(bench: Bench) -> None:
    tracks = fill(bench, 60)
    service = TrackService(bench.database, _NoBlobs())  # type: ignore[arg-type]
    query = clip_part(random_clips(np.random.default_rng(9), 1, EMBED_DIM)[0])
    rng = np.random.default_rng(10)
    seen: list[str] = []
    stay = {track.id for track in tracks}
    cursor: str | None = None
    while True:
        page = bench.ask(query, limit=7, cursor=cursor, passages=0)
        assert [hit.rank for hit in page.items] == list(
            range(len(seen) + 1, len(seen) + 1 + len(page.items))
        )
        seen += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            break
        gone = seen[-1]  # the very hit that the cursor stands on
        service.delete_track(gone)
        stay.discard(gone)
        bench.add(random_clips(rng, 1, EMBED_DIM))
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


class _NoBlobs:
    def delete(self, sha256: str) -> bool:
        return False


def test_a_cursor_belongs_to_its_query_and_model(bench: Bench) -> None:
    fill(bench, 30)
    first = bench.ask(TextPart("low"), limit=5)
    assert first.next_cursor is not None
    assert ids(bench.ask(TextPart("low"), limit=9, cursor=first.next_cursor))[0] not in ids(first)
    for parts, options in (
        ([TextPart("high")], {}),
        ([TextPart("low", weight=0.5)], {}),
        ([TextPart("low")], {"level": "passage"}),
        ([TextPart("low")], {"min_relevance": 0.1}),
    ):
        with pytest.raises(InvalidCursor):
            bench.ask(*parts, cursor=first.next_cursor, **options)


def test_min_relevance_ends_the_list_with_an_honest_nothing(bench: Bench) -> None:
    fill(bench, 40)
    everything = bench.ask(TextPart("low"), limit=100)
    bar = everything.items[9].relevance
    assert bar is not None
    above = bench.ask(TextPart("low"), limit=100, min_relevance=bar)
    assert ids(above) == ids(everything)[:10]
    assert above.next_cursor is None
    assert bench.ask(TextPart("low"), min_relevance=1.0).items == []


def test_a_deleted_track_is_not_found_by_an_index_that_lags(bench: Bench) -> None:
    tracks = fill(bench, 10)
    service = TrackService(bench.database, _NoBlobs())  # type: ignore[arg-type]
    for track in tracks[:9]:
        service.delete_track(track.id)  # the index is not told
    assert bench.projection.search_tracks(np.ones(EMBED_DIM, np.float32), 20).ids.size == 10
    for level in ("track", "passage"):
        found = bench.ask(TextPart("low"), level=level)
        assert set(ids(found)) == {tracks[9].id}


def test_only_ready_tracks_of_this_model_are_found(bench: Bench) -> None:
    rng = np.random.default_rng(5)
    ready = bench.add(random_clips(rng, 1, EMBED_DIM))
    bench.add(random_clips(rng, 1, EMBED_DIM), state=TrackState.FAILED)
    other = add_ready_track(
        bench.database, random_clips(rng, 1, EMBED_DIM), model_id=MODEL_ID + "-old"
    )
    bench.projection.catch_up()
    assert ids(bench.ask(TextPart("low"))) == [ready.id]
    with pytest.raises(TrackNotReady):
        bench.ask(TrackPart(other.id))
    with pytest.raises(TrackNotFound):
        bench.ask(TrackPart("0" * 26))


def test_what_the_caller_should_know_is_said(bench: Bench) -> None:
    rng = np.random.default_rng(6)
    cut = bench.add(random_clips(rng, 2, EMBED_DIM), duration_s=3600.0, analysed_s=20.0)
    assert bench.ask(TextPart("low")).warnings == []
    (language,) = bench.ask(TextPart("тихо")).warnings
    assert "Cyrillic" in language
    (short,) = bench.ask(TrackPart(cut.id)).warnings
    assert "first 20 s" in short


def test_the_passages_of_one_track_are_scored_like_the_hits(bench: Bench) -> None:
    track = fill(bench, 5)[0]
    hit = next(h for h in bench.ask(TextPart("low"), passages=20).items if h.track.id == track.id)
    listed = asyncio.run(bench.search.passages_of(track.id, "low")).items
    assert [p.start_s for p in listed] == sorted(p.start_s for p in hit.passages)
    for passage in hit.passages:
        twin = listed[int(passage.start_s // 10)]
        assert twin.score == pytest.approx(passage.score, abs=1e-12)
        assert twin.relevance == pytest.approx(passage.relevance, abs=1e-9)
