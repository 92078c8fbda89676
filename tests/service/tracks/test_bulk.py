"""Changes to many tracks keep every promise of the change to one, on both databases."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

import service.tracks.bulk as bulk_module
from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.database.tables import Clip, IndexChange, Job, Track, TrackExtra, TrackVector
from service.errors import InvalidRequest
from service.filtering.parsing import parse_filter
from service.index_sync.projection import Projection
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.jobs.queue import add_job
from service.keywords.store import refresh_track_texts, verify_texts
from service.tracks.bulk import BulkService, Selection, SelectionChanged, TooManyTracks
from service.tracks.repository import TrackFilter
from tests.service.tracks.test_tracks import store_blob
from tests.support.encoder import MODEL_ID, FakeEncoder
from tests.support.rows import new_track, publish_vectors, random_vectors


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


@pytest.fixture
def bulk(database: Database, blobs: LocalBlobStore, monkeypatch: pytest.MonkeyPatch) -> BulkService:
    monkeypatch.setattr(bulk_module, "_PART", 3)
    return BulkService(database, blobs)


def add(database: Database, count: int, **values: Any) -> list[str]:
    with database.write() as session:
        tracks = [new_track(session, **values) for _ in range(count)]
        refresh_track_texts(session, [track.pk for track in tracks])
        return [track.id for track in tracks]


def matching(wanted: Any, **more: Any) -> Selection:
    return Selection(filter_=TrackFilter(node=parse_filter(wanted)), **more)


def all_tracks(database: Database) -> dict[str, Track]:
    with database.read() as session:
        return {track.id: track for track in session.scalars(sa.select(Track))}


def test_an_update_reaches_what_the_filter_names_and_nothing_else(
    database: Database, bulk: BulkService
) -> None:
    jazz, rock = add(database, 8, genre="Jazz", year=1990), add(database, 2, genre="Rock")
    values = {"genre": "Bebop", "year": None, "album": "X\x00"}
    outcome = bulk.update(matching({"field": "genre", "eq": "JAZZ"}), values)
    assert (outcome.matched, outcome.changed) == (8, 8)
    tracks = all_tracks(database)
    for one in jazz:
        found = tracks[one]
        assert (found.genre, found.genre_key, found.year) == ("Bebop", "bebop", None)
        assert found.album == "X"
    assert {tracks[one].genre for one in rock} == {"Rock"}
    assert verify_texts(database).ok
    again = bulk.update(Selection(ids=jazz), values)
    assert (again.matched, again.changed) == (8, 0)


def test_keys_of_extra_are_merged(database: Database, bulk: BulkService) -> None:
    ids = add(database, 4, extra={"keep": None, "gone": 1, "ok": 1})
    outcome = bulk.update(Selection(ids=ids), {"extra": {"gone": None, "ok": True, "new": [1]}})
    assert outcome.changed == 4
    for track in all_tracks(database).values():
        assert track.extra == {"keep": None, "ok": True, "new": [1]}
        assert track.extra["ok"] is True
    with database.read() as session:
        kinds = session.execute(sa.select(TrackExtra.key, TrackExtra.kind).distinct()).all()
    assert {tuple(row) for row in kinds} == {("ok", "boolean"), ("new", "number")}


def test_extra_that_would_outgrow_its_limit_is_left_alone(
    database: Database, bulk: BulkService
) -> None:
    (full,) = add(database, 1, extra={"a": "x" * 20_000})
    (light,) = add(database, 1)
    values = {"title": "new", "extra": {"b": "y" * 20_000}}
    outcome = bulk.update(Selection(ids=[full, light]), values)
    assert (outcome.matched, outcome.changed, outcome.too_large) == (2, 1, [full])
    tracks = all_tracks(database)
    assert tracks[full].title is None
    assert tracks[light].title == "new"


def test_a_deletion_leaves_nothing(
    database: Database, blobs: LocalBlobStore, bulk: BulkService, tmp_path: Path
) -> None:
    hashes = [store_blob(blobs, f"content {number}".encode()) for number in range(8)]
    with database.write() as session:
        tracks = [new_track(session, sha256=sha256, year=n) for n, sha256 in enumerate(hashes)]
        for number, track in enumerate(tracks):
            publish_vectors(session, track, random_vectors(2, number))
            add_job(session, track.pk, MODEL_ID, 3)
            refresh_track_texts(session, [track.pk])
        pks = {track.year: track.pk for track in tracks}
    thread = ModelThread()
    encoder = EncoderHandle(FakeEncoder, thread)
    encoder.wait()
    projection = Projection(database, tmp_path / "index", encoder)
    projection.open()
    outcome = bulk.delete(matching({"field": "year", "range": {"lt": 7}}))
    assert (outcome.matched, outcome.changed) == (7, 7)
    projection.catch_up()
    assert projection.search_tracks(random_vectors(1, 9)[0], 100).ids.tolist() == [pks[7]]
    assert projection.verify().ok
    projection.stop()
    thread.close()
    with database.read() as session:
        for table in (Track, Clip, TrackVector, Job):
            key = Track.pk if table is Track else table.track_pk  # type: ignore[union-attr]
            assert set(session.scalars(sa.select(key))) == {pks[7]}
        deletes = session.scalars(
            sa.select(IndexChange.track_pk).where(IndexChange.op == "delete")
        ).all()
        assert sorted(deletes) == sorted(pk for year, pk in pks.items() if year != 7)
    assert [blobs.find(sha256) is not None for sha256 in hashes] == [False] * 7 + [True]
    assert verify_texts(database).ok


def test_a_dry_run_counts_and_changes_nothing(database: Database, bulk: BulkService) -> None:
    ids = add(database, 3)
    wanted = [*ids, ids[0], "0" * 26, "nonsense"]
    for outcome in (
        bulk.update(Selection(ids=wanted), {"title": "x"}, dry_run=True),
        bulk.delete(Selection(ids=wanted), dry_run=True),
    ):
        assert (outcome.matched, outcome.changed) == (3, 0)
        assert outcome.missing == ["0" * 26, "nonsense"]
    assert {track.title for track in all_tracks(database).values()} == {None}
    assert bulk.delete(Selection(ids=wanted)).changed == 3
    assert bulk.delete(Selection(ids=ids)).missing == ids


def test_nothing_is_changed_beyond_what_was_expected_or_is_allowed(
    database: Database, bulk: BulkService, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = add(database, 3, genre="Jazz")
    everything = {"field": "genre", "eq": "Jazz"}
    with pytest.raises(SelectionChanged) as changed:
        bulk.delete(matching(everything, expected=2))
    assert changed.value.details == {"matched": 3, "expected": 2}
    monkeypatch.setattr(bulk_module, "MAX_UPDATES", 2)
    monkeypatch.setattr(bulk_module, "MAX_DELETES", 2)
    for selection in (matching(everything), Selection(ids=ids)):
        with pytest.raises(TooManyTracks) as refused:
            bulk.delete(selection)
        assert refused.value.details == {"matched": 3, "limit": 2}
        with pytest.raises(TooManyTracks):
            bulk.update(selection, {"title": "x"})
    with pytest.raises(InvalidRequest):
        bulk.update(Selection(ids=ids[:1]), {"sha256": "x"})
    assert {track.title for track in all_tracks(database).values()} == {None}
    assert bulk.delete(Selection(ids=ids[:2], expected=2)).changed == 2


def test_deleting_while_others_edit_and_delete_ends(
    database: Database, blobs: LocalBlobStore, bulk: BulkService
) -> None:
    """Whoever takes a row first wins; nobody waits for ever."""
    ids = add(database, 12)
    with ThreadPoolExecutor(4) as pool:
        jobs = [
            pool.submit(bulk.delete, Selection(ids=ids)),
            pool.submit(bulk.delete, Selection(ids=ids[::-1])),
            pool.submit(bulk.update, Selection(ids=ids), {"title": "x"}),
            pool.submit(bulk.update, Selection(ids=ids[::-1]), {"extra": {"k": 1}}),
        ]
        outcomes = [job.result(timeout=60) for job in jobs]
    assert outcomes[0].changed + outcomes[1].changed == 12
    assert all_tracks(database) == {}
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(TrackExtra)) == 0
    assert verify_texts(database).ok
