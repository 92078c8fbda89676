"""Uploads become a track, a job and a blob together, or nothing at all."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from service.audio.errors import DecodeError, EmptyFile, NotAudioFile
from service.blobs.local import LocalPendingBlob
from service.database.engine import Database
from service.database.tables import Job, Track
from service.errors import InvalidRequest, TooLarge, TrackNotFound, Unavailable
from service.ingest import upload as upload_module
from service.ingest.upload import UploadService
from service.tracks import blob_owners
from service.tracks.blob_owners import collect_orphans
from tests.support.audio import write_audio
from tests.support.encoder import MODEL_ID, tone
from tests.support.library import Library


def count(database: Database, table: type[Track] | type[Job]) -> int:
    with database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def stored_files(library: Library) -> list[Path]:
    return [path for path in library.blobs.root.rglob("*") if path.is_file()]


def nothing_was_kept(library: Library) -> bool:
    return (
        count(library.database, Track) == 0
        and count(library.database, Job) == 0
        and stored_files(library) == []
    )


def test_an_upload_becomes_a_pending_track_with_a_queued_job(library: Library) -> None:
    uploaded = library.upload_tone(title="Given", extra={"mood": "calm"})
    track, job = uploaded.track, uploaded.job
    assert not uploaded.duplicate
    assert (track.state, track.title, track.extra) == ("pending", "Given", {"mood": "calm"})
    assert (track.filename, track.media_type, track.format) == (
        "tone-440-25.wav",
        "audio/wav",
        "wav",
    )
    assert track.duration_s == pytest.approx(25.0)
    assert (track.sample_rate_hz, track.channels) == (24_000, 1)
    assert job is not None
    assert (job.state, job.model_id, job.track_pk) == ("queued", MODEL_ID, track.pk)
    info = library.blobs.find(track.sha256)
    assert info is not None
    assert info.size_bytes == track.size_bytes
    assert library.track(track.id).added_at == track.added_at


def test_given_values_win_over_the_files_tags(library: Library, tmp_path: Path) -> None:
    path = write_audio(
        tmp_path / "a.flac",
        tone(440, 1.0),
        24_000,
        tags={"title": "Tagged", "artist": "Someone", "date": "1999-05-01", "genre": "Jazz"},
    )
    track = library.uploads.upload_file(path, values={"title": "Given", "album": None}).track
    assert (track.title, track.artist, track.album) == ("Given", "Someone", None)
    assert (track.genre, track.year) == ("Jazz", 1999)


@pytest.mark.parametrize(
    ("content", "error"),
    [(b"", EmptyFile), (b"To be or not to be. " * 500, NotAudioFile)],
)
def test_what_is_not_audio_is_refused_and_not_kept(
    library: Library, content: bytes, error: type[DecodeError]
) -> None:
    with pytest.raises(error) as caught:
        library.uploads.upload([content] if content else [], filename="a.mp3")
    assert caught.value.status == 415
    assert nothing_was_kept(library)


def test_too_large_is_noticed_while_streaming(library: Library) -> None:
    library.uploads.max_bytes = 1000
    given = 0

    def endless() -> object:
        nonlocal given
        while True:
            given += 1
            yield bytes(100)

    with pytest.raises(TooLarge):
        library.uploads.upload(endless(), filename="a.mp3")  # type: ignore[arg-type]
    assert given == 11
    assert nothing_was_kept(library)


def test_bad_values_and_a_model_that_is_not_ready_keep_nothing(library: Library) -> None:
    with pytest.raises(InvalidRequest):
        library.upload_tone(year=123_456)

    def not_ready() -> str:
        raise Unavailable

    uploads = UploadService(
        library.database, library.blobs, probe=library.uploads._probe, model_id=not_ready,
        max_bytes=1 << 26,
    )  # fmt: skip
    with pytest.raises(Unavailable):
        uploads.upload_file(library.folder / "tone-440-25.wav")
    assert nothing_was_kept(library)


def test_the_same_bytes_again_are_the_same_track(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = library.upload_tone(title="First")
    monkeypatch.setattr(library.uploads, "_probe", None)  # known bytes are not decoded again
    second = library.upload_tone(title="Second")
    assert second.duplicate
    assert second.job is None
    assert (second.track.id, second.track.title) == (first.track.id, "First")
    assert len(stored_files(library)) == 1


def test_the_same_bytes_at_once_are_one_track(library: Library) -> None:
    library.upload_tone()
    library.tracks.delete_track(library.tracks.list_tracks().items[0].id)
    content = (library.folder / "tone-440-25.wav").read_bytes()
    barrier = threading.Barrier(4)
    uploaded = []

    def chunks() -> list[bytes]:
        barrier.wait()
        return [content]

    def upload() -> None:
        uploaded.append(library.uploads.upload(chunks(), filename="same.wav"))

    threads = [threading.Thread(target=upload) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.track.id for one in uploaded}) == 1
    assert sorted(one.duplicate for one in uploaded) == [False, True, True, True]
    assert sum(one.job is not None for one in uploaded) == 1
    assert (count(library.database, Track), count(library.database, Job)) == (1, 1)
    assert len(stored_files(library)) == 1


def test_an_upload_that_fails_at_its_commit_leaves_only_an_orphan(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a kill between the placing of the blob and the commit."""

    class Killed(BaseException):
        pass

    local_place = LocalPendingBlob.place

    def place_and_die(pending: LocalPendingBlob) -> None:
        local_place(pending)
        raise Killed

    monkeypatch.setattr(LocalPendingBlob, "place", place_and_die)
    with pytest.raises(Killed):
        library.upload_tone()
    monkeypatch.undo()
    assert count(library.database, Track) == 0
    assert len(list(library.blobs.list_blobs())) == 1
    assert collect_orphans(library.database, library.blobs, grace_s=3600) == 0, "still young"
    assert collect_orphans(library.database, library.blobs, grace_s=-1) == 1
    assert not library.upload_tone().duplicate


def test_lost_bytes_are_healed_by_uploading_them_again(library: Library) -> None:
    track = library.upload_tone().track
    assert library.blobs.delete(track.sha256)
    assert library.upload_tone().duplicate
    assert library.blobs.find(track.sha256) is not None


def test_deleting_the_last_owner_while_the_same_bytes_arrive(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The rows are gone, the blob not yet: the new upload's bytes must survive the old delete."""
    first = library.upload_tone()
    remove_unowned = blob_owners.remove_unowned
    arrived = []

    def upload_first(*arguments: object) -> bool:
        arrived.append(library.upload_tone())
        return remove_unowned(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(blob_owners, "remove_unowned", upload_first)
    library.tracks.delete_track(first.track.id)
    (second,) = arrived
    assert not second.duplicate
    assert second.track.pk != first.track.pk
    assert library.blobs.find(second.track.sha256) is not None


def test_uploads_and_deletes_of_the_same_bytes_in_any_order(library: Library) -> None:
    library.upload_tone()
    content = (library.folder / "tone-440-25.wav").read_bytes()
    failures: list[Exception] = []

    def churn(seed: int) -> None:
        random = np.random.default_rng(seed)
        try:
            for _ in range(3):
                track = library.uploads.upload([content], filename="a.wav").track
                if random.random() < 0.7:
                    library.tracks.delete_track(track.id)
        except TrackNotFound:
            pass  # another thread deleted it first
        except Exception as error:  # noqa: BLE001
            failures.append(error)

    threads = [threading.Thread(target=churn, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    owned = [track.sha256 for track in library.tracks.list_tracks().items]
    assert sorted(blob.sha256 for blob in library.blobs.list_blobs()) == sorted(owned)


def test_every_container_has_a_media_type() -> None:
    from service.audio.formats import FORMAT_NAMES

    assert set(FORMAT_NAMES.values()) == set(upload_module._MEDIA_TYPES)
