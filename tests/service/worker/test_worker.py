"""Workers that stop, die, sleep and race: each job is done once."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import Job
from service.worker.loop import Worker
from tests.support.library import Library
from tests.support.rows import new_track

ROOT = Path(__file__).resolve().parents[3]
LEASE_S = 1.5


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


@contextlib.contextmanager
def worker_process(url: str, library: Library, clip_delay_s: float) -> Iterator[subprocess.Popen]:
    """A worker process that has begun with the first clip of a job."""
    arguments = [url, str(library.folder), str(LEASE_S), str(clip_delay_s)]
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.worker_process", *arguments],
        stdout=subprocess.PIPE,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"clips\n"
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Iterator[Library]:
    made = Library(database, tmp_path, lease_s=LEASE_S)
    yield made
    made.close()


def test_a_worker_thread_does_what_is_queued_and_stops(library: Library) -> None:
    first = library.upload_tone(200.0, 5.0)
    library.worker.start()
    wait_for(lambda: library.track(first.track.id).state == "ready")
    second = library.upload_tone(300.0, 5.0)
    library.worker.wake()
    wait_for(lambda: library.track(second.track.id).state == "ready")
    assert library.worker.is_alive
    assert library.worker.stop(10)
    assert not library.worker.is_alive


def test_stopping_gives_the_job_back_after_the_batch(library: Library) -> None:
    library.fake.gate.clear()
    uploaded = library.upload_tone(440.0, 45.0)
    assert uploaded.job is not None
    library.worker.start()
    wait_for(lambda: library.fake.entered == 1)
    library.worker.ask_to_stop()
    library.fake.gate.set()
    assert library.worker.stop(10)
    job = library.job(uploaded.job.id)
    assert (job.state, job.owner, job.max_attempts - job.attempts) == ("queued", None, 3)
    assert library.fake.clip_calls == [2], "the other batches were not run"
    assert library.changes() == []


def test_progress_is_told_and_a_cancel_is_noticed_between_batches(library: Library) -> None:
    library.fake.clip_delay_s = 0.2
    uploaded = library.upload_tone(440.0, 300.0)
    assert uploaded.job is not None
    job_id = uploaded.job.id
    library.worker.start()
    wait_for(lambda: 0.0 < library.job(job_id).progress < 1.0)
    library.jobs.cancel(job_id)
    other = library.upload_tone(500.0, 5.0)
    wait_for(lambda: library.track(other.track.id).state == "ready")
    assert sum(library.fake.clip_calls) < 30, "it went on to the next job before the end"
    assert library.job(job_id).state == "cancelled"
    assert library.clips(uploaded.track.pk) == []


def test_tracks_of_another_model_are_embedded_at_the_start(library: Library) -> None:
    uploaded = library.upload_tone(440.0, 5.0)
    library.work_all()
    library.fake.model_id = "fake-2"
    library.worker.start()
    wait_for(lambda: len(library.clips(uploaded.track.pk)) == 2)
    assert {clip.model_id for clip in library.clips(uploaded.track.pk)} == {"fake-1", "fake-2"}


def test_workers_at_once_do_each_job_once(library: Library) -> None:
    tracks = [library.upload_tone(100.0 + n, 1.0).track for n in range(6)]
    workers = [Worker(library.queue, lambda: [library.desk], poll_s=0.05) for _ in range(3)]
    for worker in workers:
        worker.start()
    wait_for(lambda: all(library.track(track.id).state == "ready" for track in tracks))
    for worker in workers:
        assert worker.stop(10)
    assert sorted(pk for _, _, pk in library.changes()) == sorted(track.pk for track in tracks)
    with library.database.read() as session:
        assert set(session.scalars(sa.select(Job.attempts))) == {1}


def test_a_killed_workers_job_is_taken_over(library: Library, database_url: str) -> None:
    uploaded = library.upload_tone(440.0, 45.0)
    assert uploaded.job is not None
    job_id = uploaded.job.id
    with worker_process(database_url, library, clip_delay_s=30.0) as process:
        killed_at = time.monotonic()
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert library.job(job_id).state == "running", "nobody could say that it died"
    library.worker.start()
    wait_for(lambda: library.job(job_id).state == "done")
    assert time.monotonic() - killed_at < LEASE_S + 10
    assert library.job(job_id).attempts == 2
    assert len(library.clips(uploaded.track.pk)) == 5
    assert len(library.changes()) == 1


def test_a_worker_that_slept_past_its_lease_writes_nothing(
    library: Library, database_url: str
) -> None:
    uploaded = library.upload_tone(440.0, 15.0)
    assert uploaded.job is not None
    job_id = uploaded.job.id
    with worker_process(database_url, library, clip_delay_s=0.5) as sleeper:
        sleeper.send_signal(signal.SIGSTOP)
        library.worker.start()
        wait_for(lambda: library.job(job_id).state == "done")
        before = [clip.vector for clip in library.clips(uploaded.track.pk)]
        sleeper.send_signal(signal.SIGCONT)
        time.sleep(1.5)
        assert sleeper.poll() is None, "it lives on, for other jobs"
        sleeper.send_signal(signal.SIGTERM)
        assert sleeper.wait(15) == 0
    assert library.job(job_id).attempts == 2
    assert [clip.vector for clip in library.clips(uploaded.track.pk)] == before
    assert len(library.changes()) == 1


def test_heartbeats_outlast_many_leases(library: Library) -> None:
    library.queue.lease_s = 0.6
    library.fake.clip_delay_s = 0.5
    uploaded = library.upload_tone(440.0, 60.0)
    assert uploaded.job is not None
    rival = Library(library.database, library.folder, lease_s=0.6)
    library.worker.start()
    rival.worker.start()
    wait_for(lambda: library.track(uploaded.track.id).state == "ready")
    rival.close()
    assert library.job(uploaded.job.id).attempts == 1


def test_a_model_that_does_not_load_ends_the_worker(library: Library) -> None:
    def fail() -> None:
        raise RuntimeError("no bundle")

    library.encoder._load = fail  # type: ignore[assignment]
    with pytest.raises(RuntimeError, match="no bundle"):
        library.worker.run()
    library.worker.start()
    wait_for(lambda: not library.worker.is_alive)


def test_a_job_that_kills_its_process_each_time_is_given_up(
    library: Library, database_url: str
) -> None:
    """Only the bookkeeping: three claims whose owners never came back."""
    with library.database.write() as session:
        track = new_track(session)
    library.queue.enqueue_missing(library.fake.model_id)
    library.queue.lease_s = -1.0
    for _ in range(3):
        assert library.queue.claim("gone", library.fake.model_id) is not None
    library.worker.start()
    wait_for(lambda: library.track(track.id).state == "failed")
    assert library.track(track.id).error_code == "worker_died"
    threading.Event().wait(0.1)
    assert library.worker.is_alive
