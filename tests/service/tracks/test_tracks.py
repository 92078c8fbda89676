"""Listing, editing and deleting tracks, alike on both engines."""

from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.database.tables import Clip, IndexChange, Job, Track, TrackState
from service.errors import InvalidCursor, InvalidRequest, TrackNotFound
from service.jobs.queue import add_job
from service.tracks import repository
from service.tracks.blob_owners import collect_orphans
from service.tracks.metadata import clean_filename, clean_text, clean_values
from service.tracks.repository import TrackFilter, TrackSort, clip_vector_id
from service.tracks.service import TrackService
from tests.support.encoder import MODEL_ID
from tests.support.rows import new_track, publish_vectors, random_vectors


@pytest.fixture
def blobs(tmp_path: Path) -> LocalBlobStore:
    return LocalBlobStore(tmp_path / "blobs")


@pytest.fixture
def tracks(database: Database, blobs: LocalBlobStore) -> TrackService:
    return TrackService(database, blobs)


def store_blob(blobs: LocalBlobStore, content: bytes) -> str:
    with blobs.receive(1 << 20) as pending:
        pending.write(content)
        sha256 = pending.finish().sha256
        pending.place()
    return sha256


def add(database: Database, **values: Any) -> Track:
    with database.write() as session:
        return new_track(session, **values)


@pytest.mark.parametrize("descending", [True, False])
@pytest.mark.parametrize("sort", ["added_at", "title", "year", "duration_s"])
def test_pages_hold_each_track_once_in_order(
    database: Database, tracks: TrackService, sort: TrackSort, descending: bool
) -> None:
    rows = [
        ("b", 2000, 1.5),
        ("A", None, None),
        (None, 1999, 2.5),
        ("a", 2000, 0.1),
        (None, 1, 1.5),
    ]
    for title, year, duration_s in rows:
        add(database, title=title, year=year, duration_s=duration_s)
    seen: list[Track] = []
    cursor = None
    while True:
        page = tracks.list_tracks(sort=sort, descending=descending, limit=2, cursor=cursor)
        assert page.total == 5
        seen.extend(page.items)
        cursor = page.next_cursor
        if cursor is None:
            break
    assert len({track.pk for track in seen}) == 5
    values = [getattr(track, sort) for track in seen]
    known = [value.lower() if sort == "title" else value for value in values if value is not None]
    assert known == sorted(known, reverse=descending)
    assert all(value is None for value in values[len(known) :]), "unknown values come last"


def test_a_cursor_of_another_order_is_refused(database: Database, tracks: TrackService) -> None:
    for _ in range(2):
        add(database)
    cursor = tracks.list_tracks(limit=1).next_cursor
    with pytest.raises(InvalidCursor):
        tracks.list_tracks(limit=1, cursor=cursor, descending=False)
    with pytest.raises(InvalidCursor):
        tracks.list_tracks(limit=1, cursor=cursor, sort="title")


def test_filters(database: Database, tracks: TrackService) -> None:
    add(database, title="Café 100%", artist="Ana", genre="Jazz", year=1990)
    add(database, title="Other", artist="ana", album="A_B", year=2005, state=TrackState.FAILED)
    add(database, filename="Morning_Raga.flac")

    def found(**wanted: Any) -> int:
        return tracks.list_tracks(filter_=TrackFilter(**wanted)).total

    assert found() == 3
    assert found(artist="ANA") == 2
    assert found(genre="jazz", artist="ana") == 1
    assert found(year_from=1990, year_to=2004) == 1
    assert found(state="failed") == 1
    assert found(text="100%") == 1
    assert found(text="a_b") == 1
    assert found(text="%") == 1, "a wildcard is a character"
    assert found(text="morning") == 1
    assert found(text="CAFÉ") == 1, "letters beyond A to Z have cases too"


def test_patch(database: Database, tracks: TrackService) -> None:
    track = add(database, title="Old", year=1999, extra={"a": 1})
    patched = tracks.patch_track(
        track.id, {"title": " New\x00 ", "year": None, "extra": {"mood": ["a\x00", 1.5]}}
    )
    assert (patched.title, patched.year, patched.extra) == ("New", None, {"mood": ["a", 1.5]})
    assert patched.updated_at > track.updated_at
    assert tracks.get_track(track.id).title == "New"
    with pytest.raises(TrackNotFound):
        tracks.patch_track("absent", {"title": "x"})
    for values in ({"sha256": "x"}, {"year": 10_000}, {"year": "1999"}, {"extra": {"a": math.nan}}):
        with pytest.raises(InvalidRequest):
            tracks.patch_track(track.id, values)


def test_delete_takes_everything(
    database: Database, tracks: TrackService, blobs: LocalBlobStore
) -> None:
    sha256 = store_blob(blobs, b"bytes")
    with database.write() as session:
        track = new_track(session, sha256=sha256)
        add_job(session, track.pk, MODEL_ID, 3)
        publish_vectors(session, track, random_vectors(3, 0))
    other = add(database)
    tracks.delete_track(track.id)
    assert blobs.find(sha256) is None
    with database.read() as session:
        assert session.scalars(sa.select(Track.pk)).all() == [other.pk]
        for table in (Clip, Job):
            assert session.scalar(sa.select(sa.func.count()).select_from(table)) == 0
        changes = session.scalars(sa.select(IndexChange).order_by(IndexChange.seq)).all()
        assert [(c.seq, c.op, c.track_pk, c.model_id) for c in changes] == [
            (1, "publish", track.pk, MODEL_ID),
            (2, "delete", track.pk, None),
        ]
    with pytest.raises(TrackNotFound):
        tracks.delete_track(track.id)


def test_deleting_at_once_counts_once(database: Database, tracks: TrackService) -> None:
    track = add(database)
    outcomes: list[str] = []

    def delete() -> None:
        try:
            tracks.delete_track(track.id)
            outcomes.append("deleted")
        except TrackNotFound:
            outcomes.append("absent")

    threads = [threading.Thread(target=delete) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["absent"] * 3 + ["deleted"]


def test_orphans_are_collected_after_their_grace(database: Database, blobs: LocalBlobStore) -> None:
    kept, orphan = store_blob(blobs, b"kept"), store_blob(blobs, b"orphan")
    add(database, sha256=kept)
    assert collect_orphans(database, blobs, grace_s=60) == 0
    assert collect_orphans(database, blobs, grace_s=-1) == 1
    assert blobs.find(kept) is not None
    assert blobs.find(orphan) is None


def test_live_rows_are_ready_rows(database: Database) -> None:
    with database.write() as session:
        ready, pending = new_track(session), new_track(session)
        publish_vectors(session, ready, random_vectors(2, 0))
    with database.read() as session:
        pks = [ready.pk, pending.pk, 999]
        assert list(repository.live_tracks(session, pks)) == [ready.pk]
        ids = [clip_vector_id(pk, position) for pk in pks for position in (0, 1, 2)]
        spans = repository.live_clips(session, MODEL_ID, ids)
        assert [(s.track_pk, s.position, s.start_s, s.end_s) for s in spans.values()] == [
            (ready.pk, 0, 0.0, 10.0),
            (ready.pk, 1, 10.0, 20.0),
        ]
        assert repository.live_clips(session, "other", ids) == {}


def test_a_text_is_found_within_each_name_and_across_none(
    database: Database, tracks: TrackService
) -> None:
    add(database, title="Mond", artist="licht", album=None, filename="x.mp3")
    add(database, title=None, artist=None, album=None, filename="100% Licht.mp3")

    def found(text: str) -> list[str]:
        listed = tracks.list_tracks(filter_=TrackFilter(text=text), sort="added_at")
        return sorted(track.filename for track in listed.items)

    assert found("LICHT") == ["100% Licht.mp3", "x.mp3"]
    assert found("mondlicht") == found("d li") == []
    assert found("100%") == ["100% Licht.mp3"]


def test_long_lists_are_asked_in_parts(database: Database) -> None:
    with database.write() as session:
        track = new_track(session)
        publish_vectors(session, track, random_vectors(1, 0))
    with database.read() as session:
        assert len(repository.live_tracks(session, range(70_000))) == 1
        ids = [clip_vector_id(pk, 0) for pk in range(20_000)]
        assert len(repository.live_clips(session, MODEL_ID, ids)) == 1


@given(st.text(max_size=50))
def test_cleaned_text_can_be_stored_anywhere(text: str) -> None:
    cleaned = clean_text(text, 20)
    if cleaned is not None:
        assert 0 < len(cleaned) <= 20
        assert "\x00" not in cleaned
        cleaned.encode()
        assert clean_text(cleaned, 20) == cleaned


def test_texts_keep_their_script() -> None:
    for text in ("夜に駆ける", "Beyoncé", "👩\u200d🎤", "مرحبا", "a\u3000b"):
        assert clean_text(text, 50) == text


@pytest.mark.parametrize(
    ("given_name", "kept"),
    [
        ("a.mp3", "a.mp3"),
        ("../../etc/passwd", "passwd"),
        ("C:\\music\\b.flac", "b.flac"),
        ("\x00\x01", "unnamed"),
        ("..", ".."),
        ("", "unnamed"),
        ("x" * 300 + ".opus", "x" * 250 + ".opus"),
    ],
)
def test_file_names_are_for_show(given_name: str, kept: str) -> None:
    assert clean_filename(given_name) == kept


def test_deep_extra_fields_are_refused() -> None:
    nested: Any = "x"
    for _ in range(10):
        nested = [nested]
    with pytest.raises(InvalidRequest):
        clean_values({"extra": {"a": nested}})
