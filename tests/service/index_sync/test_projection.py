"""The indexes follow SQL through everything, and can be proven equal to it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from indexer.base import Vectors
from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.database.tables import CLIP_BITS, Clip, IndexChange, Track, TrackVector
from service.errors import Unavailable
from service.index_sync import twin as twin_module
from service.index_sync.changes import append_change
from service.index_sync.projection import Projection
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.tracks.service import TrackService
from tests.support.encoder import EMBED_DIM, MODEL_ID, FakeEncoder
from tests.support.rows import new_track, publish_vectors, random_vectors

MakeProjection = Callable[[], Projection]


@pytest.fixture
def encoder() -> Iterator[EncoderHandle]:
    thread = ModelThread()
    yield EncoderHandle(FakeEncoder, thread)
    thread.close()


@pytest.fixture
def make_projection(
    database: Database, encoder: EncoderHandle, tmp_path: Path
) -> Iterator[MakeProjection]:
    """A projection as a fresh process would have it; all of them share one snapshot folder."""
    made: list[Projection] = []

    def make() -> Projection:
        made.append(Projection(database, tmp_path / "index", encoder, poll_s=0.02))
        return made[-1]

    yield make
    for projection in made:
        projection.stop()


@pytest.fixture
def projection(make_projection: MakeProjection) -> Projection:
    opened = make_projection()
    opened.open()
    return opened


@pytest.fixture
def tracks(database: Database, tmp_path: Path) -> TrackService:
    return TrackService(database, LocalBlobStore(tmp_path / "blobs"))


def publish(database: Database, clips: int, seed: int, model_id: str = MODEL_ID) -> Track:
    with database.write() as session:
        track = new_track(session)
        publish_vectors(session, track, random_vectors(clips, seed), model_id)
    return track


def all_tracks(projection: Projection) -> list[int]:
    return sorted(projection.search_tracks(random_vectors(1, 99)[0], 1000).ids.tolist())


def all_clips(projection: Projection) -> list[int]:
    return sorted(projection.search_clips(random_vectors(1, 99)[0], 1000).ids.tolist())


def clip_ids(track: Track, count: int) -> list[int]:
    return [track.pk << CLIP_BITS | position for position in range(count)]


def test_an_empty_database_gives_an_empty_index(projection: Projection) -> None:
    assert (all_tracks(projection), all_clips(projection)) == ([], [])
    state = projection.state()
    assert (state.tracks, state.clips, state.applied_seq, state.latest_seq) == (0, 0, 0, 0)
    assert projection.verify().ok


def test_changes_are_replayed_in_order(
    database: Database, projection: Projection, tracks: TrackService
) -> None:
    first, second = publish(database, 3, 1), publish(database, 2, 2)
    publish(database, 4, 3, model_id="other")
    assert all_tracks(projection) == []
    assert projection.catch_up() == 2
    assert all_tracks(projection) == [first.pk, second.pk]
    assert all_clips(projection) == clip_ids(first, 3) + clip_ids(second, 2)
    assert projection.applied_seq == 3, "a change of another model is passed over, not waited for"
    tracks.delete_track(first.id)
    assert projection.catch_up() == 1
    assert all_tracks(projection) == [second.pk]
    assert all_clips(projection) == clip_ids(second, 2)
    assert projection.catch_up() == 0
    assert projection.verify().ok


def test_scores_are_inner_products_with_the_stored_vectors(
    database: Database, projection: Projection
) -> None:
    vectors = random_vectors(3, 5)
    with database.write() as session:
        track = new_track(session)
        publish_vectors(session, track, vectors)
    projection.catch_up()
    query = random_vectors(1, 6)[0]
    expected = vectors @ query
    hits = projection.search_clips(query, 3)
    assert hits.scores == pytest.approx(np.sort(expected)[::-1], abs=1e-3)
    hits = projection.search_tracks(query, 5)
    assert hits.ids.tolist() == [track.pk]
    assert hits.scores == pytest.approx([expected.mean()], abs=1e-3)


def test_a_track_published_again_replaces_its_clips(
    database: Database, projection: Projection
) -> None:
    track = publish(database, 5, 1)
    projection.catch_up()
    with database.write() as session:
        session.execute(sa.delete(Clip))
        session.execute(sa.delete(TrackVector))
        publish_vectors(session, session.get_one(Track, track.pk), random_vectors(2, 9))
    projection.catch_up()
    assert all_clips(projection) == clip_ids(track, 2)
    assert projection.verify().ok


def test_many_changes_in_small_groups(
    database: Database,
    projection: Projection,
    tracks: TrackService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(twin_module, "_CHANGES", 7)
    monkeypatch.setattr(twin_module, "_VECTORS", 5)
    published = [publish(database, 1 + seed % 4, seed) for seed in range(30)]
    for track in published[::3]:
        tracks.delete_track(track.id)
    assert projection.catch_up() == 40
    assert all_tracks(projection) == [t.pk for i, t in enumerate(published) if i % 3]
    assert projection.verify().ok


def test_a_restart_continues_from_the_snapshot(
    database: Database,
    projection: Projection,
    make_projection: MakeProjection,
    tracks: TrackService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = publish(database, 3, 1), publish(database, 2, 2)
    projection.catch_up()
    assert projection.save() is True
    assert projection.save() is False, "nothing is newer than what is saved"
    tracks.delete_track(first.id)
    third = publish(database, 1, 3)
    monkeypatch.setattr(twin_module.TwinIndex, "build", None)  # a rebuild would fail
    restarted = make_projection()
    restarted.open()
    assert all_tracks(restarted) == [second.pk, third.pk]
    assert all_clips(restarted) == clip_ids(second, 2) + clip_ids(third, 1)
    assert restarted.verify().ok
    age_s = restarted.state().snapshot_age_s
    assert age_s is not None
    assert age_s < 60


@pytest.mark.parametrize("part", ["tracks", "clips"])
def test_a_damaged_snapshot_is_not_believed(
    database: Database,
    projection: Projection,
    make_projection: MakeProjection,
    tmp_path: Path,
    part: str,
) -> None:
    track = publish(database, 3, 1)
    projection.catch_up()
    projection.save()
    (data,) = (tmp_path / "index" / MODEL_ID / part).glob("index-*.faiss")
    content = bytearray(data.read_bytes())
    content[-1] ^= 1
    data.write_bytes(content)
    restarted = make_projection()
    restarted.open()
    assert all_tracks(restarted) == [track.pk]
    assert restarted.verify().ok


def test_a_snapshot_of_another_database_is_not_believed(
    database: Database, projection: Projection, make_projection: MakeProjection
) -> None:
    """A backup was restored beside the index of later days."""
    track = publish(database, 3, 1)
    publish(database, 2, 2)
    projection.catch_up()
    projection.save()
    with database.write() as session:
        session.execute(sa.delete(Track).where(Track.pk != track.pk))
        session.execute(sa.delete(IndexChange).where(IndexChange.track_pk != track.pk))
    restarted = make_projection()
    restarted.open()
    assert all_tracks(restarted) == [track.pk]
    assert restarted.applied_seq == 1


def test_verify_finds_and_repair_mends_every_kind_of_fault(
    database: Database, projection: Projection, make_projection: MakeProjection
) -> None:
    tracks = [publish(database, 3, seed) for seed in range(4)]
    projection.catch_up()
    index = projection._ready()
    index.tracks.remove(np.array([tracks[0].pk]))
    index.clips.upsert(np.array([tracks[1].pk << CLIP_BITS]), random_vectors(1, 77))
    index.clips.upsert(np.array([999 << CLIP_BITS]), random_vectors(1, 78))
    found = projection.verify()
    assert (found.ok, found.checked) == (False, 4 + 12)
    assert (found.missing, found.different, found.extra) == (1, 1, 1)
    assert projection.repair().repaired == 3
    assert projection.verify().ok
    restarted = make_projection()
    restarted.open()
    assert restarted.verify().ok, "what was repaired was saved"


def test_verify_includes_changes_it_had_not_seen(
    database: Database, projection: Projection
) -> None:
    publish(database, 3, 1)
    assert projection.verify().ok


def test_a_delete_during_a_rebuild_is_not_undone(
    database: Database,
    projection: Projection,
    tracks: TrackService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    doomed, kept = publish(database, 3, 1), publish(database, 2, 2)
    projection.catch_up()
    read, deleted = threading.Event(), threading.Event()
    clip_batches = twin_module.clip_batches

    def slow_clip_batches(*arguments: object) -> Iterator[tuple[np.ndarray, Vectors]]:
        yield from clip_batches(*arguments)  # type: ignore[arg-type]
        read.set()
        assert deleted.wait(10)

    monkeypatch.setattr(twin_module, "clip_batches", slow_clip_batches)
    rebuilding = threading.Thread(target=projection.rebuild)
    rebuilding.start()
    assert read.wait(10), "the rebuild has read the track's vectors"
    monkeypatch.setattr(twin_module, "clip_batches", clip_batches)
    tracks.delete_track(doomed.id)
    late = publish(database, 1, 3)
    projection.catch_up()
    assert all_tracks(projection) == [kept.pk, late.pk], "kept up while the rebuild runs"
    deleted.set()
    rebuilding.join()
    assert all_tracks(projection) == [kept.pk, late.pk]
    assert all_clips(projection) == clip_ids(kept, 2) + clip_ids(late, 1)
    assert projection.verify().ok


def test_the_background_thread_keeps_up_and_saves_at_the_end(
    database: Database, make_projection: MakeProjection
) -> None:
    projection = make_projection()
    with pytest.raises(Unavailable):
        projection.search_tracks(random_vectors(1, 0)[0], 1)
    projection.start()
    projection.wait_until_ready(10)
    track = publish(database, 3, 1)
    for _ in range(500):
        if projection.applied_seq == 1:
            break
        threading.Event().wait(0.01)
    assert all_tracks(projection) == [track.pk]
    projection.stop()
    assert projection.save() is False, "it was saved on the way out"


def test_a_model_that_does_not_load_is_said_not_waited_for(
    database: Database, tmp_path: Path
) -> None:
    def fail() -> FakeEncoder:
        raise RuntimeError("no such bundle")

    thread = ModelThread()
    projection = Projection(database, tmp_path, EncoderHandle(fail, thread))
    projection.start()
    with pytest.raises(Unavailable):
        projection.wait_until_ready(10)
    projection.stop()
    thread.close()


def test_random_histories_end_equal_to_sql(
    database: Database, projection: Projection, make_projection: MakeProjection
) -> None:
    """Publishes, deletes, saves and restarts in any order; compared with a plain dictionary."""
    random = np.random.default_rng(11)
    live: dict[int, int] = {}
    current = projection
    for step in range(40):
        action = random.choice(["publish", "publish", "delete", "catch_up", "save", "restart"])
        if action == "publish":
            count = int(random.integers(1, 5))
            live[publish(database, count, step).pk] = count
        elif action == "delete" and live:
            pk = int(random.choice(list(live)))
            del live[pk]
            with database.write() as session:
                session.execute(sa.delete(Track).where(Track.pk == pk))
                append_change(session, "delete", pk, None)
        elif action == "catch_up":
            current.catch_up()
        elif action == "save":
            current.save()
        elif action == "restart":
            current = make_projection()
            current.open()
    current.catch_up()
    assert all_tracks(current) == sorted(live)
    assert len(all_clips(current)) == sum(live.values())
    assert current.verify().ok


def test_vectors_that_no_index_takes_are_refused_before_sql() -> None:
    from service.database.vectors import pack_vectors, unpack_vectors

    good = random_vectors(2, 0)
    assert unpack_vectors(pack_vectors(good), EMBED_DIM) == pytest.approx(good, abs=1e-3)
    for bad in (good * 2, np.full((1, 4), np.nan, np.float32), np.full((1, 4), 1e6, np.float32)):
        with pytest.raises(ValueError, match="finite or longer"), np.errstate(over="ignore"):
            pack_vectors(bad)
    with pytest.raises(ValueError, match="width"):
        unpack_vectors([b"\0" * 6], EMBED_DIM)
