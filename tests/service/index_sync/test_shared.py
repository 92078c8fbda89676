"""One index for all processes follows SQL, whoever applies the changes and whatever goes wrong."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pytest
import sqlalchemy as sa
from pydantic import SecretStr

from indexer.errors import EngineUnavailable
from indexer.milvus_index import MilvusConfig, MilvusIndex
from service.blobs.local import LocalBlobStore
from service.database.engine import Database, LockSpace, lock_until_commit
from service.database.tables import CLIP_BITS, Clip, IndexChange, Track, TrackVector
from service.errors import Unavailable
from service.index_sync.factory import open_projection
from service.index_sync.projection import Projection
from service.index_sync.shared import SharedProjection, _lock_key
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.settings import Settings
from service.tracks.service import TrackService
from tests.support.encoder import FakeEncoder
from tests.support.milvus import MilvusServer
from tests.support.rows import new_track, publish_vectors, random_vectors
from tests.support.service import eventually

MakeShared = Callable[[], SharedProjection]
NOBODY = "http://127.0.0.1:1"


@pytest.fixture
def encoder() -> Iterator[EncoderHandle]:
    """Of a model of its own: tests share the server, and collections belong to models."""
    thread = ModelThread()
    model_id = uuid4().hex
    yield EncoderHandle(lambda: FakeEncoder(model_id=model_id), thread)
    thread.close()


@pytest.fixture
def database(postgres_url: str) -> Iterator[Database]:
    connected = Database(postgres_url)
    yield connected
    connected.dispose()


@pytest.fixture
def make_shared(
    database: Database, encoder: EncoderHandle, milvus_server: MilvusServer
) -> Iterator[MakeShared]:
    """A projection as another process would have it."""
    made: list[SharedProjection] = []
    config = MilvusConfig(milvus_server.url)

    def open_index(kind: str, model_id: str, dim: int) -> MilvusIndex:
        return MilvusIndex.open(config, kind=kind, model_id=model_id, dim=dim)

    def make() -> SharedProjection:
        made.append(SharedProjection(database, encoder, open_index, engine="milvus", poll_s=0.05))
        return made[-1]

    yield make
    for projection in made:
        projection.stop()
    for kind in ("tracks", "clips"):
        open_index(kind, encoder.get().model_id, encoder.get().embed_dim).drop()


@pytest.fixture
def shared(make_shared: MakeShared) -> SharedProjection:
    opened = make_shared()
    opened.open()
    return opened


@pytest.fixture
def tracks(database: Database, tmp_path: Path) -> TrackService:
    return TrackService(database, LocalBlobStore(tmp_path / "blobs"))


def publish(database: Database, encoder: EncoderHandle, clips: int, seed: int) -> Track:
    with database.write() as session:
        track = new_track(session)
        publish_vectors(session, track, random_vectors(clips, seed), encoder.get().model_id)
    return track


def found_tracks(projection: SharedProjection) -> list[int]:
    return sorted(projection.search_tracks(random_vectors(1, 99)[0], 1000).ids.tolist())


def found_clips(projection: SharedProjection) -> list[int]:
    return sorted(projection.search_clips(random_vectors(1, 99)[0], 1000).ids.tolist())


def clip_ids(track: Track, count: int) -> list[int]:
    return [track.pk << CLIP_BITS | position for position in range(count)]


def all_found(projection: SharedProjection, expected: list[int]) -> None:
    eventually(lambda: found_clips(projection) == expected)


def test_the_engine_is_chosen_by_the_settings(
    sqlite_url: str, encoder: EncoderHandle, tmp_path: Path
) -> None:
    def settings(**values: Any) -> Settings:
        return Settings.model_construct(data_dir=tmp_path, **values)

    sqlite = Database(sqlite_url)
    assert isinstance(open_projection(settings(), sqlite, encoder), Projection)
    with pytest.raises(ValueError, match="needs MUQUERY_MILVUS_URL"):
        open_projection(settings(index_engine="milvus"), sqlite, encoder)
    with pytest.raises(ValueError, match="needs PostgreSQL"):
        open_projection(settings(index_engine="milvus", milvus_url=NOBODY), sqlite, encoder)
    sqlite.dispose()


@pytest.mark.postgres
def test_an_engine_that_does_not_answer_is_said(
    database: Database, encoder: EncoderHandle, tmp_path: Path
) -> None:
    settings = Settings.model_construct(
        data_dir=tmp_path,
        index_engine="milvus",
        milvus_url=NOBODY,
        milvus_token=SecretStr("root:secret"),
    )
    projection = open_projection(settings, database, encoder)
    assert isinstance(projection, SharedProjection)
    encoder.start()
    with pytest.raises(EngineUnavailable):
        projection.open()
    with pytest.raises(Unavailable):
        projection.search_tracks(random_vectors(1, 1)[0], 1)
    projection.stop()


@pytest.mark.cluster
@pytest.mark.postgres
def test_changes_are_replayed_for_all(
    database: Database,
    encoder: EncoderHandle,
    shared: SharedProjection,
    make_shared: MakeShared,
    tracks: TrackService,
) -> None:
    other = make_shared()
    other.open()
    assert (found_tracks(shared), found_clips(shared)) == ([], [])
    first, second = publish(database, encoder, 3, 1), publish(database, encoder, 2, 2)
    assert shared.catch_up() == 2
    assert other.catch_up() == 0, "there is one index, and it is up to date"
    all_found(other, clip_ids(first, 3) + clip_ids(second, 2))
    assert found_tracks(other) == [first.pk, second.pk]
    with database.write() as session:
        session.execute(sa.delete(Clip).where(Clip.track_pk == second.pk))
        session.execute(sa.delete(TrackVector).where(TrackVector.track_pk == second.pk))
        again = session.get_one(Track, second.pk)
        publish_vectors(session, again, random_vectors(1, 9), encoder.get().model_id)
    tracks.delete_track(first.id)
    assert other.catch_up() == 2
    all_found(shared, clip_ids(second, 1))
    assert found_tracks(shared) == [second.pk]
    assert shared.verify().ok
    state = shared.state()
    assert (state.tracks, state.clips, state.engine) == (1, 1, "milvus")
    assert state.applied_seq == state.latest_seq == 4


@pytest.mark.cluster
@pytest.mark.postgres
def test_one_process_at_a_time_applies_changes(
    database: Database, encoder: EncoderHandle, shared: SharedProjection
) -> None:
    publish(database, encoder, 1, 1)
    with database.read() as session:
        lock_until_commit(session, LockSpace.SHARED_INDEX, _lock_key(encoder.get().model_id))
        assert shared.catch_up() == 0
        assert shared.check() is False
        assert shared.applied_seq == 0
    assert shared.catch_up() == 1
    assert shared.verify().ok


@pytest.mark.cluster
@pytest.mark.postgres
def test_a_kill_between_data_and_number_repeats_the_change(
    database: Database,
    encoder: EncoderHandle,
    shared: SharedProjection,
    tracks: TrackService,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept, deleted = publish(database, encoder, 2, 1), publish(database, encoder, 2, 2)

    def fail(*_: object) -> None:
        raise EngineUnavailable

    with monkeypatch.context() as patch:
        patch.setattr(MilvusIndex, "mark_applied", fail)
        with pytest.raises(EngineUnavailable):
            shared.catch_up()
    tracks.delete_track(deleted.id)
    assert shared.catch_up() == 3
    assert shared.verify().ok
    all_found(shared, clip_ids(kept, 2))


@pytest.mark.cluster
@pytest.mark.postgres
def test_a_write_that_lands_late_is_found_and_mended(
    database: Database, encoder: EncoderHandle, shared: SharedProjection, tracks: TrackService
) -> None:
    """A process read a track, lost its lock, and its write arrived after the track's delete."""
    kept, ghost = publish(database, encoder, 2, 1), publish(database, encoder, 2, 2)
    shared.catch_up()
    tracks.delete_track(ghost.id)
    shared.catch_up()
    assert shared.check() is False
    index = shared._ready()
    index.tracks.upsert(np.array([ghost.pk]), random_vectors(1, 2))
    index.clips.upsert(np.array(clip_ids(ghost, 2)), random_vectors(2, 2))
    found = shared.verify()
    assert (found.ok, found.extra) == (False, 3)
    assert shared.check() is True
    assert shared.verify().ok
    all_found(shared, clip_ids(kept, 2))


@pytest.mark.cluster
@pytest.mark.postgres
def test_verify_finds_and_rebuild_mends_every_kind_of_fault(
    database: Database, encoder: EncoderHandle, shared: SharedProjection
) -> None:
    published = [publish(database, encoder, 3, seed) for seed in range(3)]
    shared.catch_up()
    index = shared._ready()
    index.tracks.remove(np.array([published[0].pk]))
    index.clips.upsert(np.array([published[1].pk << CLIP_BITS]), random_vectors(1, 77))
    index.clips.upsert(np.array([999 << CLIP_BITS]), random_vectors(1, 78))
    found = shared.verify()
    assert (found.missing, found.different, found.extra) == (1, 1, 1)
    shared.rebuild()
    assert shared.verify().ok


@pytest.mark.cluster
@pytest.mark.postgres
def test_after_a_restored_backup_new_changes_are_not_passed_over(
    database: Database, encoder: EncoderHandle, shared: SharedProjection
) -> None:
    kept = publish(database, encoder, 1, 1)
    for seed in (2, 3):
        publish(database, encoder, 1, seed)
    shared.catch_up()
    with database.write() as session:
        session.execute(sa.delete(Track).where(Track.pk != kept.pk))
        session.execute(sa.delete(IndexChange).where(IndexChange.track_pk != kept.pk))
    assert shared.check() is True
    assert shared.applied_seq == 1
    new = publish(database, encoder, 1, 4)
    assert shared.catch_up() == 1
    all_found(shared, clip_ids(kept, 1) + clip_ids(new, 1))


@pytest.mark.cluster
@pytest.mark.postgres
def test_a_lost_collection_comes_back(
    database: Database, encoder: EncoderHandle, make_shared: MakeShared
) -> None:
    projection = make_shared()
    encoder.start()
    projection.start()
    projection.wait_until_ready(30)
    track = publish(database, encoder, 2, 1)
    all_found(projection, clip_ids(track, 2))
    lost = projection._ready().clips
    assert isinstance(lost, MilvusIndex)
    lost.drop()
    publish(database, encoder, 1, 2)
    eventually(lambda: projection._ready().clips is not lost)
    eventually(lambda: projection.state().applied_seq == 2)
    assert projection.verify().ok


@pytest.mark.cluster
@pytest.mark.postgres
def test_an_engine_that_came_back_unloaded_is_opened_again(
    database: Database, encoder: EncoderHandle, make_shared: MakeShared
) -> None:
    """As after a restart of its server; nothing is uploaded that would show it."""
    projection = make_shared()
    encoder.start()
    projection.start()
    projection.wait_until_ready(30)
    track = publish(database, encoder, 2, 1)
    all_found(projection, clip_ids(track, 2))
    index = projection._ready().clips
    assert isinstance(index, MilvusIndex)
    index._client.release_collection(index._collection)
    with pytest.raises(Unavailable):
        found_clips(projection)

    def is_found() -> bool:
        try:
            return found_clips(projection) == clip_ids(track, 2)
        except Unavailable:
            return False

    eventually(is_found)


@pytest.mark.cluster
@pytest.mark.postgres
def test_two_processes_keep_up_while_tracks_come_and_go(
    database: Database, encoder: EncoderHandle, make_shared: MakeShared, tracks: TrackService
) -> None:
    projections = [make_shared(), make_shared()]
    encoder.start()
    for projection in projections:
        projection.start()
    for projection in projections:
        projection.wait_until_ready(30)
    kept: list[Track] = []

    def write(seed: int) -> None:
        for number in range(12):
            track = publish(database, encoder, 1 + number % 3, 100 * seed + number)
            if number % 2:
                tracks.delete_track(track.id)
            else:
                kept.append(track)

    threads = [threading.Thread(target=write, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    pks = sorted(track.pk for track in kept)
    for projection in projections:
        eventually(lambda: projection.applied_seq == 3 * 18)  # noqa: B023 - used at once
        eventually(lambda: found_tracks(projection) == pks)  # noqa: B023 - used at once
    assert projections[0].verify().ok
