"""From a folder or uploads to analysed tracks, with every file accounted for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.database.tables import Job, Track
from service.errors import NotAudio
from service.imports.admission import SentFile
from service.imports.errors import (
    ImportClosed,
    ImportEnded,
    ImportNotEnded,
    ImportNotFound,
)
from service.imports.service import Wanted
from service.jobs.queue import Priority
from tests.support.batches import BROKEN, Batches
from tests.support.library import Library


def test_a_folder_becomes_tracks(batches: Batches, library: Library, music: Path) -> None:
    batches.write_tone("low.wav", 150.0)
    batches.write_tone("album/high.flac", 5000.0)
    shutil.copy(music / "low.wav", music / "album" / "same.wav")
    (music / "broken.mp3").write_bytes(BROKEN)
    (music / "notes.txt").write_text("no music")
    import_id = batches.start(name="All of it")
    batches.take_in()
    assert batches.counts(import_id) == {"queued": 2, "duplicate": 1, "failed": 1}
    shutil.rmtree(music)  # nothing depends on the original from here on
    batches.finish()
    view = batches.view(import_id)
    assert view.batch.state == "done"
    assert batches.counts(import_id) == {"done": 2, "duplicate": 1, "failed": 1}
    assert view.batch.ignored_files == 1
    assert view.batch.finished_at is not None
    assert view.progress.audio_s == pytest.approx(6.0, abs=0.1)
    assert view.progress.eta_s == 0.0
    assert view.progress.audio_hours_per_hour is not None
    items = batches.items(import_id)
    assert items["broken.mp3"].error_code == "not_audio"
    assert items["broken.mp3"].error_message
    assert items["album/same.wav"].track_pk == items["low.wav"].track_pk
    for name in ("low.wav", "album/high.flac"):
        assert library.clips(items[name].track_pk or 0)


def test_the_same_folder_again_adds_nothing(batches: Batches) -> None:
    batches.write_tone("a.wav", 300.0)
    batches.write_tone("b.wav", 600.0)
    first, second = batches.start(), batches.start()
    batches.finish()
    third = batches.start()
    batches.finish()
    assert batches.counts(first) == {"done": 2}
    assert batches.counts(second) == batches.counts(third) == {"duplicate": 2}
    assert batches.view(third).batch.state == "done"


def test_an_empty_folder_is_done_at_once(batches: Batches) -> None:
    import_id = batches.start()
    batches.take_in()
    assert batches.view(import_id).batch.state == "done"


def test_items_are_paged_and_selected(batches: Batches, music: Path) -> None:
    for number in range(5):
        (music / f"{number}.mp3").write_bytes(BROKEN + bytes([number]))
    batches.write_tone("good.wav")
    import_id = batches.start()
    batches.finish()
    seen: list[str] = []
    cursor = None
    while True:
        page = batches.imports.list_items(import_id, state="failed", limit=2, cursor=cursor)
        assert page.total == 5
        seen += [view.item.path for view in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert sorted(seen) == [f"{number}.mp3" for number in range(5)]
    (done,) = batches.imports.list_items(import_id, state="done").items
    assert done.track_id is not None
    with pytest.raises(ImportNotFound):
        batches.imports.list_items("0" * 26)


def test_failed_files_are_tried_again(batches: Batches, library: Library, music: Path) -> None:
    good = batches.write_tone("good.wav", 700.0)
    (music / "late.wav").write_bytes(BROKEN)
    import_id = batches.start()
    batches.finish()
    assert batches.counts(import_id) == {"done": 1, "failed": 1}
    shutil.copy(batches.write_tone("other/x.wav", 900.0), music / "late.wav")
    retried = batches.imports.retry(import_id)
    assert (retried.retried, retried.needs_upload) == (1, 0)
    assert batches.view(import_id).batch.state == "running"
    batches.finish()
    assert batches.counts(import_id) == {"done": 2}
    assert batches.view(import_id).batch.state == "done"
    assert batches.imports.retry(import_id).retried == 0
    assert good.exists()


def test_a_failed_analysis_is_tried_again(batches: Batches, library: Library) -> None:
    batches.write_tone("a.wav")
    import_id = batches.start()
    batches.take_in()
    blob = next(library.blobs.list_blobs())
    library.blobs.delete(blob.sha256)
    library.work_all()
    batches.take_in()
    (item,) = batches.items(import_id).values()
    assert (item.state, item.error_code) == ("failed", "file_missing")
    assert batches.view(import_id).batch.state == "done"
    batches.write_tone("b.wav")
    with library.uploads.receive() as pending:
        pending.write((batches.root / "a.wav").read_bytes())
        pending.finish()
        pending.place()
    assert batches.imports.retry(import_id).retried == 1
    batches.finish()
    assert batches.counts(import_id) == {"done": 1}


def test_a_file_that_vanishes_is_told(batches: Batches) -> None:
    path = batches.write_tone("a.wav")
    batches.write_tone("b.wav", 800.0)
    import_id = batches.start()
    with batches.runner._claimed(import_id) as batch:
        assert batch is not None
        batches.runner._list(import_id, batches.root.resolve())
    path.unlink()
    batches.finish()
    assert batches.items(import_id)["a.wav"].error_code == "file_gone"
    assert batches.counts(import_id) == {"done": 1, "failed": 1}


def test_a_pause_holds_everything_until_it_ends(batches: Batches, library: Library) -> None:
    for number in range(3):
        batches.write_tone(f"{number}.wav", 300.0 + 100 * number)
    import_id = batches.start()
    batches.take_in()
    assert batches.imports.pause(import_id).batch.state == "paused"
    assert library.work_all() == 0
    batches.write_tone("new.wav", 2000.0)
    assert batches.runner.run_once() is False
    assert batches.view(import_id).progress.eta_s is None
    batches.imports.pause(import_id)
    assert batches.imports.resume(import_id).batch.state == "running"
    batches.finish()
    assert batches.counts(import_id) == {"done": 3}
    for call in (batches.imports.pause, batches.imports.resume, batches.imports.cancel):
        with pytest.raises(ImportEnded):
            call(import_id)


def test_a_pause_before_the_folder_is_listed(batches: Batches) -> None:
    batches.write_tone("a.wav")
    import_id = batches.start()
    batches.imports.pause(import_id)
    batches.take_in()
    assert batches.counts(import_id) == {}
    batches.imports.resume(import_id)
    batches.finish()
    assert batches.counts(import_id) == {"done": 1}


def test_a_cancel_keeps_what_is_done_and_takes_out_the_rest(
    batches: Batches, library: Library
) -> None:
    for number in range(4):
        batches.write_tone(f"{number}.wav", 300.0 + 100 * number)
    import_id = batches.start()
    batches.take_in()
    assert library.worker.run_once(library.fake.model_id)
    assert batches.imports.cancel(import_id).batch.state == "cancelled"
    assert library.work_all() == 0
    batches.take_in()
    assert batches.counts(import_id) == {"done": 1, "cancelled": 3}
    with library.database.read() as session:
        assert session.scalars(sa.select(Track.state)).all() == ["ready"]
    assert len(list(library.blobs.list_blobs())) == 1
    with pytest.raises(ImportEnded):
        batches.imports.retry(import_id)


def test_a_deleted_track_does_not_hang_its_batch(batches: Batches, library: Library) -> None:
    batches.write_tone("a.wav")
    batches.write_tone("b.wav", 900.0)
    import_id = batches.start()
    batches.take_in()
    with library.database.read() as session:
        track_id = session.scalars(sa.select(Track.id).limit(1)).one()
    library.tracks.delete_track(track_id)
    batches.finish()
    assert batches.counts(import_id) == {"done": 1, "cancelled": 1}
    assert "track_deleted" in {item.error_code for item in batches.items(import_id).values()}
    assert batches.view(import_id).batch.state == "done"


def test_a_job_cancelled_by_hand_ends_its_file_and_a_retry_opens_it(
    batches: Batches, library: Library
) -> None:
    batches.write_tone("a.wav")
    import_id = batches.start()
    batches.take_in()
    with library.database.read() as session:
        job_id = session.scalars(sa.select(Job.id)).one()
    library.jobs.cancel(job_id)
    assert batches.counts(import_id) == {"cancelled": 1}
    library.jobs.retry(job_id)
    assert batches.counts(import_id) == {"queued": 1}
    batches.finish()
    assert batches.counts(import_id) == {"done": 1}


def test_uploads_go_before_a_busy_batch(batches: Batches, library: Library) -> None:
    for number in range(6):
        batches.write_tone(f"{number}.wav", 300.0 + 100 * number, 1.5)
    batches.start()
    batches.take_in()
    assert library.worker.run_once(library.fake.model_id)
    someone = library.upload_tone(4000.0, 2.0)
    assert library.worker.run_once(library.fake.model_id)
    assert library.track(someone.track.id).state == "ready"
    with library.database.read() as session:
        states = session.execute(sa.select(Job.priority, Job.state)).all()
    assert sorted(states) == [
        (Priority.INTERACTIVE, "done"),
        (Priority.BATCH, "done"),
        *[(Priority.BATCH, "queued")] * 5,
    ]


def test_someone_who_waits_for_a_file_of_a_paused_batch_gets_it(
    batches: Batches, library: Library
) -> None:
    path = batches.write_tone("a.wav")
    batches.write_tone("b.wav", 900.0)
    import_id = batches.start()
    batches.take_in()
    batches.imports.pause(import_id)
    someone = library.uploads.upload_file(path)
    assert someone.duplicate
    assert library.work_all() == 1
    assert library.track(someone.track.id).state == "ready"
    assert batches.counts(import_id) == {"queued": 1, "done": 1}


def test_uploads_of_a_client_as_a_batch(batches: Batches, library: Library, music: Path) -> None:
    first, second = batches.write_tone("a.wav"), batches.write_tone("b.wav", 900.0)
    bad = music / "bad.mp3"
    bad.write_bytes(BROKEN)
    import_id = batches.start_upload(name="from my disk")
    sent = batches.send(import_id, first)
    assert sent.job is not None
    assert sent.job.priority == Priority.BATCH
    assert batches.send(import_id, first).duplicate, "sent again, as after a lost answer"
    with pytest.raises(NotAudio) as refused:
        batches.send(import_id, bad)
    SentFile(import_id, "bad.mp3").refuse(library.database, refused.value)
    batches.finish()
    assert batches.view(import_id).batch.state == "running", "more may come"
    assert batches.counts(import_id) == {"done": 1, "failed": 1}
    assert batches.imports.retry(import_id).needs_upload == 1
    shutil.copy(second, bad)
    batches.send(import_id, bad)
    batches.imports.close(import_id)
    with pytest.raises(ImportClosed):
        batches.send(import_id, second)
    batches.finish()
    assert batches.counts(import_id) == {"done": 2}
    assert batches.view(import_id).batch.state == "done"


def test_uploads_into_a_paused_batch_wait(batches: Batches, library: Library) -> None:
    import_id = batches.start_upload()
    batches.imports.pause(import_id)
    batches.send(import_id, batches.write_tone("a.wav"))
    assert library.work_all() == 0
    batches.imports.resume(import_id)
    assert library.work_all() == 1


def test_a_refused_upload_leaves_nothing(batches: Batches, library: Library) -> None:
    import_id = batches.start_upload()
    batches.imports.cancel(import_id)
    with pytest.raises(ImportClosed):
        batches.send(import_id, batches.write_tone("a.wav"))
    assert list(library.blobs.list_blobs()) == []
    with library.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Track)) == 0


def test_a_reference_finds_the_open_batch(batches: Batches) -> None:
    first = batches.imports.create(Wanted(reference="disk-7"))
    again = batches.imports.create(Wanted(reference="disk-7"))
    assert (first.new, again.new) == (True, False)
    assert again.view.batch.id == first.view.batch.id
    batches.imports.cancel(first.view.batch.id)
    assert batches.imports.create(Wanted(reference="disk-7")).new
    page = batches.imports.list_imports(reference="disk-7", limit=1)
    assert page.total == 2
    rest = batches.imports.list_imports(reference="disk-7", limit=1, cursor=page.next_cursor)
    assert [view.batch.id for view in rest.items] == [first.view.batch.id]


def test_an_ended_batch_can_be_forgotten(batches: Batches, library: Library) -> None:
    batches.write_tone("a.wav")
    import_id = batches.start()
    with pytest.raises(ImportNotEnded):
        batches.imports.forget(import_id)
    batches.finish()
    batches.imports.forget(import_id)
    with pytest.raises(ImportNotFound):
        batches.view(import_id)
    with library.database.read() as session:
        assert session.scalars(sa.select(Track.state)).all() == ["ready"]


def test_a_full_disk_stops_the_batch_and_says_so(batches: Batches, library: Library) -> None:
    from service.blobs.local import LocalBlobStore
    from service.errors import DiskFull

    batches.write_tone("a.wav")
    import_id = batches.start()
    roomy = library.uploads._blobs
    library.uploads._blobs = LocalBlobStore(library.folder / "blobs", min_free_bytes=1 << 60)
    with pytest.raises(DiskFull):
        batches.runner.run_once()
    view = batches.view(import_id)
    assert (view.batch.state, view.batch.error_code) == ("running", "disk_full")
    assert batches.counts(import_id) == {"waiting": 1}
    library.uploads._blobs = roomy
    batches.finish()
    assert batches.counts(import_id) == {"done": 1}
    assert batches.view(import_id).batch.error_code is None
