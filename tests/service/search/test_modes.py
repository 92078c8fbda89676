"""Search by words and by both, limits and copies, end to end on both databases."""

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from models.interface import Vectors
from service.database.engine import Database
from service.database.tables import Track
from service.errors import EmptyQuery, InvalidCursor, InvalidRequest
from service.filtering.parsing import parse_filter
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.keywords.store import refresh_track_text
from service.search.copies import COPY_COSINE, NEAR_COSINE
from service.search.mixing import WeightedVector
from service.search.query import Part, TextPart, TrackPart
from service.search.results import SearchOptions, SearchResult
from service.search.scoring import Scorer
from service.search.selection import SelectionRules
from service.search.service import SearchService
from service.tracks.service import TrackService
from tests.service.search.test_search import Bench, _NoBlobs, bench, fill, ids
from tests.support.encoder import EMBED_DIM, FakeEncoder
from tests.support.stored_tracks import add_ready_track, random_clips

__all__ = ["bench"]  # a fixture that both files use


def add(bench: Bench, clips: Vectors, **fields: Any) -> Track:
    track = add_ready_track(bench.database, clips, **fields)
    with bench.database.write() as session:
        refresh_track_text(session, track.pk)
    bench.projection.catch_up()
    return track


def some_clips(seed: int, count: int = 2) -> Vectors:
    return random_clips(np.random.default_rng(seed), count, EMBED_DIM)


def all_pages(bench: Bench, *parts: Part, **options: Any) -> list[SearchResult]:
    pages = [bench.ask(*parts, **options)]
    while pages[-1].next_cursor is not None:
        pages.append(bench.ask(*parts, **options, cursor=pages[-1].next_cursor))
    return pages


def all_ids(pages: list[SearchResult]) -> list[str]:
    ranks = [hit.rank for page in pages for hit in page.items]
    assert ranks == list(range(1, len(ranks) + 1))
    return [track_id for page in pages for track_id in ids(page)]


def test_words_alone_need_no_model(database: Database, tmp_path: Path) -> None:
    thread = ModelThread()
    encoder = EncoderHandle(_refuses, thread)
    index: Any = _NoIndex()
    search = SearchService(database, index, TextEmbedder(encoder, thread), encoder)
    track = add_ready_track(database, some_clips(1), title="Cello suite", year=1720)
    with database.write() as session:
        refresh_track_text(session, track.pk)

    def ask(*parts: Part, **options: Any) -> SearchResult:
        asked = SearchOptions(mode="keyword", **options)
        return asyncio.run(search.search(parts, asked))

    found = ask(TextPart("cello"))
    assert ids(found) == [track.id]
    assert found.model_id is None
    assert found.items[0].score is None
    later = parse_filter({"field": "year", "range": {"gt": 1800}})
    assert ids(ask(TextPart("cello"), filter=later)) == []
    assert ids(ask(TextPart("cello"), filter=parse_filter({"field": "year", "eq": 1720}))) == [
        track.id
    ]
    with pytest.raises(EmptyQuery):
        ask(TextPart("cello", -1.0))
    with pytest.raises(EmptyQuery):
        ask(TrackPart(track.id))
    with pytest.raises(InvalidRequest):
        ask(TextPart("cello"), level="passage")
    (warning,) = ask(TextPart("cello"), TextPart("loud", -1.0)).warnings
    assert "no effect" in warning
    thread.close()


def _refuses() -> Any:
    raise RuntimeError("this test loads no model")


class _NoIndex:
    applied_seq = 0


def test_a_fused_answer_holds_what_either_ranking_finds(bench: Bench) -> None:
    fill(bench, 30)
    low = np.stack([FakeEncoder().embed_text(["low"])[0]])
    sounds = add(bench, low, title="No name")
    named = add(bench, -low, title="Low tide", artist="Ebb")
    answer = bench.ask(TextPart("low"), mode="hybrid", limit=5)
    assert set(ids(answer)[:2]) == {sounds.id, named.id}
    by_id = {hit.track.id: hit for hit in answer.items}
    assert by_id[named.id].why.keyword is not None
    assert by_id[named.id].why.keyword.fields == ["title"]
    assert by_id[named.id].why.semantic_rank == 32
    assert by_id[sounds.id].why.keyword is None
    assert by_id[sounds.id].why.semantic_rank == 1
    assert answer.match == "good"
    assert ids(bench.ask(TextPart("low"), mode="semantic", limit=100))[-1] == named.id


def test_words_stay_where_a_bar_of_relevance_removes_all_by_sound(bench: Bench) -> None:
    fill(bench, 10)
    named = add(bench, some_clips(3), title="Low tide")
    answer = bench.ask(TextPart("low"), mode="hybrid", min_relevance=1.0)
    assert ids(answer) == [named.id]
    assert answer.match == "good"
    nothing = bench.ask(TextPart("low"), min_relevance=1.0)
    assert (ids(nothing), nothing.match) == ([], "none")


def test_the_query_s_own_tracks_are_not_found_by_words(bench: Bench) -> None:
    fill(bench, 5)
    one = add(bench, some_clips(4), title="Low tide")
    other = add(bench, some_clips(5), title="Low water")
    found = ids(bench.ask(TrackPart(one.id), TextPart("low"), mode="hybrid"))
    assert one.id not in found
    assert other.id in found


def test_passages_are_fused_by_their_tracks(bench: Bench) -> None:
    fill(bench, 20)
    clips = some_clips(6, 3)
    named = add(bench, clips, title="Low tide")
    answer = bench.ask(TextPart("low"), mode="hybrid", level="passage", limit=50)
    hits = [hit for hit in answer.items if hit.track.id == named.id]
    assert {hit.passages[0].start_s for hit in hits} == {0.0, 10.0, 20.0}
    scores = clips.astype(np.float16).astype(np.float32) @ FakeEncoder().embed_text(["low"])[0]
    first = max(hits, key=lambda hit: hit.why.fused_score or 0.0)
    assert first.passages[0].start_s == 10.0 * int(np.argmax(scores)), "its best stands for it"


@pytest.mark.parametrize("mode", ["hybrid", "keyword"])
def test_pages_of_words_repeat_and_skip_nothing_while_the_library_changes(
    bench: Bench, mode: str
) -> None:
    tracks = [add(bench, some_clips(seed), title=f"low song {seed}") for seed in range(24)]
    service = TrackService(bench.database, _NoBlobs())  # type: ignore[arg-type]
    stay = {track.id for track in tracks}
    seen: list[str] = []
    cursor = None
    while True:
        page = bench.ask(TextPart("low song"), mode=mode, limit=5, cursor=cursor)
        seen += ids(page)
        cursor = page.next_cursor
        if cursor is None:
            break
        service.delete_track(seen[-1])
        stay.discard(seen[-1])
        add(bench, some_clips(100 + len(seen)), title="low song")
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


@pytest.mark.parametrize("mode", ["semantic", "hybrid", "keyword"])
def test_limits_hold_over_all_pages(bench: Bench, mode: str) -> None:
    for seed in range(40):
        artist, album = ("Bach", "BACH", "bäch", None)[seed % 4], f"album {seed % 7}"
        add(bench, some_clips(seed), title="low song", artist=artist, album=album)
    options: dict[str, Any] = {
        "mode": mode, "limit": 3, "passages": 0, "rules": SelectionRules(max_per_artist=2),
    }  # fmt: skip
    pages = all_pages(bench, TextPart("low"), **options)
    artists = [hit.track.artist for page in pages for hit in page.items]
    assert len(artists) == 12
    assert sum(artist is not None for artist in artists) == 2
    assert len(set(all_ids(pages))) == 12
    whole = bench.ask(TextPart("low"), **{**options, "limit": 100})
    assert ids(whole) == all_ids(pages)
    albums = bench.ask(TextPart("low"), mode=mode, limit=100, rules=SelectionRules(max_per_album=1))
    assert len({hit.track.album for hit in albums.items}) == len(albums.items) == 7


def test_a_limit_looks_past_hundreds_of_one_artist(bench: Bench) -> None:
    direction = FakeEncoder().embed_text(["low"])[0]
    for _ in range(150):
        add_ready_track(bench.database, direction[np.newaxis], artist="Prolific")
    other = add_ready_track(bench.database, some_clips(1, 1), artist="Rare")
    bench.projection.catch_up()
    found = bench.ask(TextPart("low"), limit=5, rules=SelectionRules(max_per_artist=1))
    assert len(found.items) == 2
    assert ids(found)[1] == other.id


@pytest.mark.parametrize("level", ["track", "passage"])
def test_copies_are_shown_once_and_named(bench: Bench, level: str) -> None:
    fill(bench, 15)
    clips = some_clips(8, 3)
    original = add(bench, clips, title="One")
    noise = 0.01 * np.random.default_rng(9).standard_normal(clips.shape).astype(np.float32)
    copy = add(bench, _unit(clips + noise), title="Another name")
    longer = add(bench, np.concatenate([clips, clips, clips]), title="Longer")
    namesakes = [
        add(bench, some_clips(10 + n, 3), title="Träume", artist="Wagner") for n in range(2)
    ]
    rules = SelectionRules(collapse_duplicates=True)
    pages = all_pages(bench, TextPart("low"), level=level, limit=4, rules=rules)
    seen = {track_id for page in pages for track_id in ids(page)}
    copies = {
        hit.track.id: set(hit.duplicates) for page in pages for hit in page.items if hit.duplicates
    }
    assert len(seen & {original.id, copy.id}) == 1
    assert longer.id in seen, "the same sound, but not the same length"
    assert len(seen & {track.id for track in namesakes}) == 1
    assert {frozenset({shown} | hidden) for shown, hidden in copies.items()} == {
        frozenset({original.id, copy.id}),
        frozenset(track.id for track in namesakes),
    }
    assert len(seen) == 17 + 1
    plain = {hit.track.id for hit in bench.ask(TextPart("low"), limit=100, level=level).items}
    assert len(plain) == 20


def _unit(rows: Vectors) -> Vectors:
    normed: Vectors = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return normed


def test_cursors_belong_to_their_mode_and_rules(bench: Bench) -> None:
    for seed in range(8):
        add(bench, some_clips(seed), title="low")
    cursors = [
        (options, bench.ask(TextPart("low"), limit=2, **options).next_cursor)
        for options in (
            {},
            {"mode": "hybrid"},
            {"mode": "keyword"},
            {"rules": SelectionRules(max_per_artist=3)},
            {"rules": SelectionRules(collapse_duplicates=True)},
        )
    ]
    for options, _ in cursors:
        for made_for, cursor in cursors:
            if made_for != options:
                with pytest.raises(InvalidCursor):
                    bench.ask(TextPart("low"), limit=2, cursor=cursor, **options)


def test_unwanted_texts_and_sounds_are_exact_against_brute_force(bench: Bench) -> None:
    """The index is asked for something else than the score: the answer must not show it."""
    fill(bench, 150)
    weights = {"low": 1.0, "high": -1.0, "noise": -0.5}
    vectors = FakeEncoder().embed_text(list(weights))
    parts = [WeightedVector(v, w) for v, w in zip(vectors, weights.values(), strict=True)]
    scorer = Scorer(parts, FakeEncoder().reference)
    means = {
        track_id: scorer.score(clips.mean(axis=0).astype(np.float16).astype(np.float32)[np.newaxis])
        for track_id, clips in bench.clips.items()
    }
    expected = sorted(means, key=lambda track_id: -float(means[track_id][0]))
    asked = [TextPart(text, weight) for text, weight in weights.items()]
    assert ids(bench.ask(*asked, limit=20)) == expected[:20]
    assert all_ids(all_pages(bench, *asked, limit=40, passages=0)) == expected


def test_a_copy_that_a_codec_moved_is_known_by_its_course(bench: Bench) -> None:
    """All clips moved alike: the means are merely near, but what changes in the track stays."""
    fill(bench, 15)
    clips = some_clips(31, 6)
    moved = _unit(clips + 0.2 * some_clips(32, 1))
    near = _unit(clips.mean(axis=0) + 0.4 * some_clips(33, 6))
    original, copy = add(bench, clips, title="One"), add(bench, moved, title="Two")
    other = add(bench, near, title="Three")
    means = [_unit(side.mean(axis=0)[np.newaxis])[0] for side in (clips, moved, near)]
    assert NEAR_COSINE < means[0] @ means[1] < COPY_COSINE
    assert NEAR_COSINE < means[0] @ means[2] < COPY_COSINE
    rules = SelectionRules(collapse_duplicates=True)
    found = bench.ask(TextPart("low"), limit=50, rules=rules).items
    (shown,) = (hit for hit in found if hit.track.id in {original.id, copy.id})
    assert set(shown.duplicates) == {original.id, copy.id} - {shown.track.id}
    assert not next(hit for hit in found if hit.track.id == other.id).duplicates
