"""The claim table: each job once, kept by heartbeats, fenced against whoever lost it."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.tables import Job, JobState, Track, TrackState
from service.errors import (
    InvalidCursor,
    JobNotCancellable,
    JobNotFound,
    JobNotRetryable,
    TrackNotFound,
)
from service.jobs.queue import WORKER_DIED, Claim, JobQueue, Lease, add_job, finish
from service.jobs.service import JobService
from tests.support.rows import new_track

MODEL = "m1"


@pytest.fixture
def queue(database: Database) -> JobQueue:
    return JobQueue(database, lease_s=60.0, max_attempts=3)


@pytest.fixture
def jobs(database: Database) -> JobService:
    return JobService(database, max_attempts=3)


def enqueue(database: Database, *, model_id: str = MODEL, priority: int = 0) -> str:
    with database.write() as session:
        job = add_job(session, new_track(session).pk, model_id, 3)
        job.priority = priority
        return job.id


def claimed(queue: JobQueue, owner: str = "a") -> Claim:
    claim = queue.claim(owner, MODEL)
    assert claim is not None
    return claim


def expire(database: Database, job_id: str) -> None:
    with database.write() as session:
        past = database_now(session) - timedelta(seconds=1)
        session.execute(sa.update(Job).where(Job.id == job_id).values(lease_until=past))


def finished(database: Database, claim: Claim) -> bool:
    with database.write() as session:
        return finish(session, claim)


def job_row(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return session.scalars(sa.select(Job).where(Job.id == job_id)).one()


def track_of(database: Database, claim: Claim) -> Track:
    with database.read() as session:
        return session.scalars(sa.select(Track).where(Track.pk == claim.track_pk)).one()


def test_first_come_first_served_after_priority(database: Database, queue: JobQueue) -> None:
    first, second = enqueue(database), enqueue(database)
    urgent = enqueue(database, priority=-1)
    enqueue(database, model_id="other")
    assert [claimed(queue).job_id for _ in range(3)] == [urgent, first, second]
    assert queue.claim("a", MODEL) is None


def test_one_job_per_track_and_model(database: Database) -> None:
    def add(session: Session, track: Track) -> None:
        add_job(session, track.pk, MODEL, 3)
        session.flush()

    with database.write() as session:
        track = new_track(session)
        add(session, track)
        with pytest.raises(sa.exc.IntegrityError), session.begin_nested():
            add(session, track)


def test_claims_at_once_never_share_a_job(database: Database, queue: JobQueue) -> None:
    ids = {enqueue(database) for _ in range(30)}
    taken: list[str] = []

    def work(owner: str) -> None:
        while claim := queue.claim(owner, MODEL):
            taken.append(claim.job_id)
            assert finished(database, claim)

    threads = [threading.Thread(target=work, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(taken) == sorted(ids)


def test_an_expired_lease_is_taken_over_and_the_first_owner_fenced_off(
    database: Database, queue: JobQueue
) -> None:
    job_id = enqueue(database)
    slow = claimed(queue, "slow")
    assert queue.claim("quick", MODEL) is None, "the lease still runs"
    expire(database, job_id)
    quick = claimed(queue, "quick")
    assert (quick.job_id, quick.attempt) == (job_id, 2)
    assert queue.heartbeat(slow) is Lease.LOST
    assert queue.fail(slow, "x", "x", retryable=False) is False
    assert queue.release(slow) is False
    assert finished(database, slow) is False
    assert job_row(database, job_id).owner == "quick"
    assert queue.heartbeat(quick, 0.5) is Lease.HELD
    assert finished(database, quick) is True
    assert finished(database, quick) is False
    assert job_row(database, job_id).state == JobState.DONE


def test_the_same_owner_is_fenced_off_by_the_attempt(database: Database, queue: JobQueue) -> None:
    job_id = enqueue(database)
    first = claimed(queue)
    expire(database, job_id)
    second = claimed(queue)
    assert finished(database, first) is False
    assert finished(database, second) is True


def test_heartbeats_keep_a_job(database: Database, queue: JobQueue) -> None:
    job_id = enqueue(database)
    claim = claimed(queue)
    expire(database, job_id)
    assert queue.heartbeat(claim, 0.25) is Lease.HELD, "late, but nobody took it"
    assert queue.claim("b", MODEL) is None
    assert job_row(database, job_id).progress == 0.25


def test_a_retryable_failure_waits_then_ends_after_max_attempts(
    database: Database, queue: JobQueue
) -> None:
    job_id = enqueue(database)
    for attempt in (1, 2, 3):
        claim = claimed(queue)
        assert claim.attempt == attempt
        assert queue.fail(claim, "timeout", "Took too long.", retryable=True)
        assert queue.claim("a", MODEL) is None, "it pauses before the next try"
        with database.write() as session:
            session.execute(sa.update(Job).values(run_at=database_now(session)))
    row = job_row(database, job_id)
    assert (row.state, row.error_code, row.attempts) == (JobState.FAILED, "timeout", 3)
    track = track_of(database, claim)
    assert (track.state, track.error_code) == (TrackState.FAILED, "timeout")


def test_a_terminal_failure_ends_at_once(database: Database, queue: JobQueue) -> None:
    job_id = enqueue(database)
    claim = claimed(queue)
    assert queue.fail(claim, "corrupt", "Damaged.", retryable=False)
    assert job_row(database, job_id).state == JobState.FAILED
    assert track_of(database, claim).error_message == "Damaged."
    assert queue.claim("a", MODEL) is None


def test_a_failed_re_embedding_leaves_a_ready_track_ready(
    database: Database, queue: JobQueue
) -> None:
    enqueue(database)
    with database.write() as session:
        session.execute(sa.update(Track).values(state=TrackState.READY))
    claim = claimed(queue)
    assert queue.fail(claim, "corrupt", "Damaged.", retryable=False)
    assert track_of(database, claim).state == TrackState.READY


def test_a_job_that_kills_its_workers_is_given_up(database: Database, queue: JobQueue) -> None:
    job_id = enqueue(database)
    for _ in range(3):
        claim = claimed(queue)
        expire(database, job_id)
    assert queue.claim("a", MODEL) is None
    row = job_row(database, job_id)
    assert (row.state, row.error_code) == (JobState.FAILED, WORKER_DIED)
    assert track_of(database, claim).state == TrackState.FAILED


def test_a_released_job_keeps_its_tries(database: Database, queue: JobQueue) -> None:
    job_id = enqueue(database)
    for _ in range(5):
        assert queue.release(claimed(queue))
    row = job_row(database, job_id)
    assert (row.state, row.max_attempts - row.attempts) == (JobState.QUEUED, 3)


def test_cancel_and_retry(database: Database, queue: JobQueue, jobs: JobService) -> None:
    job_id = enqueue(database)
    assert jobs.cancel(job_id).job.state == JobState.CANCELLED
    assert queue.claim("a", MODEL) is None
    with pytest.raises(JobNotCancellable):
        jobs.cancel(job_id)
    assert jobs.retry(job_id).job.state == JobState.QUEUED
    with pytest.raises(JobNotRetryable):
        jobs.retry(job_id)
    claim = claimed(queue)
    assert jobs.cancel(job_id).job.state == JobState.CANCELLED
    assert queue.heartbeat(claim) is Lease.LOST
    jobs.retry(job_id)
    again = claimed(queue)
    assert finished(database, claim) is False, "cancelled, retried, claimed again by the same owner"
    assert finished(database, again) is True


def test_retrying_a_failed_job_gives_new_tries(
    database: Database, queue: JobQueue, jobs: JobService
) -> None:
    job_id = enqueue(database)
    claim = claimed(queue)
    queue.fail(claim, "corrupt", "Damaged.", retryable=False)
    view = jobs.retry(job_id)
    assert (view.job.attempts, view.job.max_attempts, view.job.error_code) == (1, 4, None)
    assert track_of(database, claim).state == TrackState.PENDING


def test_unknown_jobs(jobs: JobService) -> None:
    for ask in (jobs.get_job, jobs.cancel, jobs.retry):
        with pytest.raises(JobNotFound):
            ask("nothing")
    assert issubclass(TrackNotFound, JobNotFound.__base__)


def test_jobs_are_listed_newest_first_in_pages(
    database: Database, queue: JobQueue, jobs: JobService
) -> None:
    ids = [enqueue(database) for _ in range(5)]
    finished(database, claimed(queue))
    first = jobs.list_jobs(limit=2)
    assert [view.job.id for view in first.page.items] == ids[:2:-1]
    enqueue(database)  # a newcomer neither repeats nor hides others
    second = jobs.list_jobs(limit=2, cursor=first.page.next_cursor)
    third = jobs.list_jobs(limit=2, cursor=second.page.next_cursor)
    assert [view.job.id for view in (*second.page.items, *third.page.items)] == ids[2::-1]
    assert third.page.next_cursor is None
    assert third.counts == {"queued": 5, "running": 0, "done": 1, "failed": 0, "cancelled": 0}
    done = jobs.list_jobs(state="done")
    assert (done.page.total, [view.job.id for view in done.page.items]) == (1, [ids[0]])
    assert done.page.items[0].track_id
    for cursor in ("nonsense", "", "e30", "WyItY3JlYXRlZF9hdCIsMSwiYSJd"):
        with pytest.raises(InvalidCursor):
            jobs.list_jobs(cursor=cursor)


def test_tracks_without_a_job_for_the_model_get_one(database: Database, queue: JobQueue) -> None:
    enqueue(database)
    enqueue(database, model_id="old")
    added: list[int] = []
    threads = [
        threading.Thread(target=lambda: added.append(queue.enqueue_missing(MODEL)))
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(added) == 1
