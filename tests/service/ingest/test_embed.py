"""An embed job writes everything in one transaction, or nothing."""

from __future__ import annotations

import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from service.audio.errors import DecodeError
from service.blobs.store import BlobMissing
from service.database.engine import Database
from service.database.tables import Job
from service.ingest.embed import LeaseLost
from service.jobs.queue import Claim, add_job
from tests.service.audio.flac import write_silent_flac
from tests.support.audio import write_audio
from tests.support.encoder import MODEL_ID, tone
from tests.support.library import Library
from tests.support.rows import new_track


def claim_next(library: Library) -> Claim:
    claim = library.queue.claim("test", MODEL_ID)
    assert claim is not None
    return claim


def run(library: Library, claim: Claim) -> int:
    return library.embed.run(claim, lambda _: None)


def test_a_job_stores_clips_vectors_peaks_and_a_change(library: Library) -> None:
    uploaded = library.upload_tone(440.0, 25.0)
    pk = uploaded.track.pk
    progress: list[float] = []
    assert library.embed.run(claim_next(library), progress.append) == 1
    clips = library.clips(pk)
    assert [(c.position, c.start_s, c.end_s) for c in clips] == [
        (0, 0.0, 10.0),
        (1, 10.0, 20.0),
        (2, 20.0, 25.0),
    ]
    stored = np.stack([np.frombuffer(clip.vector, "<f2") for clip in clips])
    expected = library.fake.embed_track(tone(440.0, 25.0)).clips
    assert stored.astype(np.float32) == pytest.approx(expected, abs=2e-3)
    assert library.mean(pk) == pytest.approx(stored.mean(axis=0, dtype=np.float32), abs=1e-3)
    track = library.track(uploaded.track.id)
    assert (track.state, track.analysed_s, track.warnings) == ("ready", pytest.approx(25.0), [])
    assert track.peaks is not None
    assert np.frombuffer(track.peaks, np.uint8) == pytest.approx(128, abs=2)
    assert uploaded.job is not None
    job = library.job(uploaded.job.id)
    assert (job.state, job.progress, job.owner, job.attempts) == ("done", 1.0, None, 1)
    assert library.changes() == [(1, "publish", pk)]
    assert progress == sorted(progress)
    assert len(progress) == 3
    assert max(library.fake.clip_calls[:2]) <= 2, "no batch is larger than it may be"


def test_running_a_job_again_changes_nothing(library: Library) -> None:
    uploaded = library.upload_tone(duration_s=25.0)

    def everything() -> list[object]:
        track = library.track(uploaded.track.id)
        clips = [
            (c.position, c.start_s, c.end_s, c.vector) for c in library.clips(uploaded.track.pk)
        ]
        mean = library.mean(uploaded.track.pk).tobytes()
        return [clips, mean, track.state, track.peaks, track.duration_s, track.analysed_s]

    library.work_all()
    before = everything()
    with library.database.write() as session:
        session.execute(sa.update(Job).values(state="queued"))
    assert library.work_all() == 1
    assert everything() == before
    assert len(library.changes()) == 2


def test_a_long_track_is_cut_at_the_cap_and_says_so(database: Database, tmp_path: Path) -> None:
    library = Library(database, tmp_path, max_track_s=15.0)
    uploaded = library.upload_tone(duration_s=40.0)
    library.work_all()
    track = library.track(uploaded.track.id)
    assert (track.duration_s, track.analysed_s) == (pytest.approx(40.0), pytest.approx(15.0))
    assert track.warnings == ["analysis_capped"]
    assert len(library.clips(track.pk)) == 2
    library.close()


def test_a_short_track_has_one_clip(library: Library) -> None:
    uploaded = library.upload_tone(duration_s=0.5)
    library.work_all()
    (clip,) = library.clips(uploaded.track.pk)
    assert (clip.start_s, clip.end_s) == (0.0, 0.5)


def test_a_cut_off_file_is_embedded_with_a_warning(library: Library, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).standard_normal(24_000 * 20).astype(np.float32) / 8
    path = write_audio(tmp_path / "whole.flac", noise, 24_000)
    content = path.read_bytes()
    uploaded = library.uploads.upload([content[: len(content) // 2]], filename="half.flac")
    assert uploaded.track.duration_s == pytest.approx(20.0, abs=0.1)
    library.work_all()
    track = library.track(uploaded.track.id)
    assert track.state == "ready"
    assert "ended_early" in track.warnings
    assert track.duration_s is not None
    assert track.duration_s < 12, "what was counted, not what was claimed"


@pytest.mark.slow
def test_memory_does_not_grow_with_the_track(database: Database, tmp_path: Path) -> None:
    def peak_bytes(duration_s: float) -> int:
        library = Library(database, tmp_path, max_track_s=math.inf)
        path = write_silent_flac(tmp_path / f"{duration_s}.flac", duration_s)
        library.uploads.upload_file(path)
        tracemalloc.start()
        library.work_all()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        library.close()
        return peak

    three_minutes, two_hours = peak_bytes(180), peak_bytes(7200)
    assert two_hours < three_minutes + 8 * 1024 * 1024, "a kilobyte or two for each of 720 clips"


def test_bytes_that_do_not_decode_fail_for_good(library: Library) -> None:
    with library.blobs.receive(1 << 20) as pending:
        pending.write(b"not audio at all " * 100)
        sha256 = pending.finish().sha256
        pending.place()
    with library.database.write() as session:
        track = new_track(session, sha256=sha256)
        job_id = add_job(session, track.pk, MODEL_ID, 3).id
    with pytest.raises(DecodeError):
        run(library, claim_next(library))
    assert library.clips(track.pk) == []
    with library.database.write() as session:
        session.execute(sa.update(Job).values(state="queued"))
    assert library.work_all() == 1
    job = library.job(job_id)
    assert (job.state, job.error_code) == ("failed", "not_audio")
    failed = library.track(track.id)
    assert (failed.state, failed.error_code) == ("failed", "not_audio")
    assert library.work_all() == 0, "it is not tried again"


def test_a_lost_file_fails_for_good(library: Library) -> None:
    uploaded = library.upload_tone()
    library.blobs.delete(uploaded.track.sha256)
    with pytest.raises(BlobMissing):
        run(library, claim_next(library))
    with library.database.write() as session:
        session.execute(sa.update(Job).values(state="queued"))
    library.work_all()
    assert library.track(uploaded.track.id).error_code == "file_missing"


@pytest.mark.parametrize("end", ["cancel", "delete", "take over"])
def test_whoever_lost_the_job_writes_nothing(library: Library, end: str) -> None:
    """The job ends elsewhere while its last batch is in the model."""
    uploaded = library.upload_tone()
    assert uploaded.job is not None
    claim = claim_next(library)
    job_id = uploaded.job.id

    lost = False

    def lose_at_the_end(progress: float) -> None:
        nonlocal lost
        if progress < 0.97 or lost:
            return
        lost = True
        if end == "cancel":
            library.jobs.cancel(job_id)
        elif end == "delete":
            library.tracks.delete_track(uploaded.track.id)
        else:
            with library.database.write() as session:
                session.execute(sa.update(Job).values(lease_until=None))
            assert library.queue.claim("another", MODEL_ID) is not None

    with pytest.raises(LeaseLost):
        library.embed.run(claim, lose_at_the_end)
    assert library.clips(uploaded.track.pk) == []
    assert [op for _, op, _ in library.changes()] == (["delete"] if end == "delete" else [])
    if end != "delete":
        assert library.track(uploaded.track.id).state == "pending"


def test_a_failure_of_the_model_is_tried_again_then_given_up(library: Library) -> None:
    uploaded = library.upload_tone()
    assert uploaded.job is not None

    def fail(_: object) -> None:
        raise RuntimeError("out of /secret memory")

    library.fake.embed_clips = fail  # type: ignore[assignment,method-assign]
    for attempt in (1, 2, 3):
        with library.database.write() as session:
            session.execute(sa.update(Job).values(run_at=sa.func.current_timestamp()))
        assert library.work_all() == 1
        assert library.job(uploaded.job.id).attempts == attempt
    job = library.job(uploaded.job.id)
    assert (job.state, job.error_code) == ("failed", "internal_error")
    assert "secret" not in (job.error_message or "")


def test_vectors_that_are_not_finite_are_not_stored(library: Library) -> None:
    uploaded = library.upload_tone()
    library.fake.embed_clips = lambda clips: np.full(  # type: ignore[method-assign]
        (len(clips), library.fake.embed_dim), math.nan, np.float32
    )
    with pytest.raises(ValueError, match="finite"):
        run(library, claim_next(library))
    assert library.track(uploaded.track.id).state == "pending"
    assert library.changes() == []
