"""Work as rows: claimed by a lease, kept by heartbeats, ended by whoever still holds it.

Most jobs are about a track. One about the whole library has no track; there is one of each kind
and model at most, and it is queued again where its work has come to be wanted again.

A claim is fenced by (owner, attempts): each claim raises `attempts`, which never falls again, so
a worker that slept past its lease and wakes up finds no row that matches what it holds.

Order of locks, everywhere: track row, job row, index_changes. One clock: the database's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Update, or_, select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, LockSpace, database_now, lock_until_commit
from service.database.import_tables import ItemState
from service.database.tables import Job, JobState, Track, TrackState
from service.ids import new_id
from service.jobs.batch_items import end_items

EMBED = "embed"
WORKER_DIED = "worker_died"
_WORKER_DIED_MESSAGE = "The process that worked on this file died each time."
_BACKOFF_S = (5.0, 30.0, 120.0)


class Priority(IntEnum):
    """Who goes first: someone who waits for one file, then batches, then a change of model."""

    INTERACTIVE = 0
    BATCH = 10
    BACKFILL = 20


@dataclass(frozen=True)
class HeldJob:
    """A lease on one job."""

    job_id: str
    kind: str
    model_id: str
    owner: str
    attempt: int


@dataclass(frozen=True)
class Claim(HeldJob):
    """A lease on a track's job, and what its work needs."""

    track_pk: int
    sha256: str


@dataclass(frozen=True)
class LibraryClaim(HeldJob):
    """A lease on a job about the whole library."""


class LeaseLost(Exception):
    """The job is not ours any more; nothing was written."""


class GaveWay(Exception):
    """A long job stops where it is, because a more urgent one waits; it goes back to the queue."""


class Lease(StrEnum):
    """What a heartbeat learns: go on, or stop without writing anything."""

    HELD = "held"
    LOST = "lost"


class JobQueue:
    """The jobs of one database; every method is one short transaction."""

    def __init__(self, database: Database, *, lease_s: float = 60.0, max_attempts: int = 3) -> None:
        self._database = database
        self.lease_s = lease_s
        self.max_attempts = max_attempts

    def claim(self, owner: str, model_id: str) -> Claim | LibraryClaim | None:
        """Take the next job for this model, or one whose worker fell silent; None when idle."""
        self._give_up_poison()
        with self._database.write() as session:
            now = database_now(session)
            job = _next_abandoned(session, model_id, now) or _next_queued(session, model_id, now)
            if job is None:
                return None
            job.state = JobState.RUNNING
            job.owner = owner
            job.attempts += 1
            job.progress = 0.0
            job.started_at = now
            job.lease_until = now + timedelta(seconds=self.lease_s)
            held = (job.id, job.kind, job.model_id, owner, job.attempts)
            if job.track_pk is None:
                return LibraryClaim(*held)
            sha256 = session.scalars(select(Track.sha256).where(Track.pk == job.track_pk)).one()
            return Claim(*held, job.track_pk, sha256)

    def heartbeat(self, claim: HeldJob, progress: float | None = None) -> Lease:
        """Renew the lease and note the progress (0 to 1); LOST after a cancel or a take-over."""
        with self._database.write() as session:
            until = database_now(session) + timedelta(seconds=self.lease_s)
            values: dict[str, Any] = {"lease_until": until}
            if progress is not None:
                values["progress"] = min(max(progress, 0.0), 1.0)
            held = _changed_one(session, _fenced(claim).values(values))
        return Lease.HELD if held else Lease.LOST

    def fail(self, claim: HeldJob, code: str, message: str, *, retryable: bool) -> bool:
        """End a try: queued again after a pause while tries are left and `retryable`, else failed.

        False when the lease was lost: nothing was written.
        """
        with self._database.write() as session:
            track = lock_track(session, claim.track_pk) if isinstance(claim, Claim) else None
            job = session.scalar(
                select(Job)
                .where(*_fence(claim))
                .with_for_update()
                .execution_options(populate_existing=True)
            )
            if job is None:
                return False
            if retryable and job.attempts < job.max_attempts:
                pause = _BACKOFF_S[min(job.attempts, len(_BACKOFF_S)) - 1]
                requeue(job, database_now(session) + timedelta(seconds=pause))
                job.error_code, job.error_message = code, message
            else:
                _fail(session, job, track, code, message)
        return True

    def release(self, claim: HeldJob) -> bool:
        """Give a job back unfinished (a worker is asked to stop); the try does not count."""
        with self._database.write() as session:
            back = _fenced(claim).values(
                state=JobState.QUEUED,
                owner=None,
                lease_until=None,
                progress=0.0,
                run_at=database_now(session),
                max_attempts=Job.max_attempts + 1,
            )
            return _changed_one(session, back)

    def enqueue_missing(self, model_id: str) -> int:
        """Queue an embed job for every track that has none for this model; returns how many."""
        has_job = select(Job.id).where(
            Job.kind == EMBED, Job.track_pk == Track.pk, Job.model_id == model_id
        )
        # KEY SHARE: a track must not be deleted between this look and its job's insert.
        missing = (
            select(Track.pk)
            .where(~has_job.exists())
            .limit(500)
            .with_for_update(read=True, key_share=True)
        )
        added = 0
        while True:
            with self._database.write() as session:
                lock_until_commit(session, LockSpace.BACKFILL)
                pks = session.scalars(missing).all()
                for pk in pks:
                    add_job(session, pk, model_id, self.max_attempts, priority=Priority.BACKFILL)
            added += len(pks)
            if not pks:
                return added

    def _give_up_poison(self) -> None:
        """Fail jobs whose workers died at every try."""
        with self._database.read() as session:
            now = database_now(session)
            dead = session.execute(
                select(Job.id, Job.track_pk)
                .where(*_abandoned(now), Job.attempts >= Job.max_attempts)
                .limit(10)
            ).all()
        for job_id, track_pk in dead:
            with self._database.write() as session:
                track = None if track_pk is None else lock_track(session, track_pk)
                job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
                if job and _is_poison(job, database_now(session)):
                    _fail(session, job, track, WORKER_DIED, _WORKER_DIED_MESSAGE)


def add_job(
    session: Session,
    track_pk: int,
    model_id: str,
    max_attempts: int,
    *,
    priority: Priority = Priority.INTERACTIVE,
    held: bool = False,
) -> Job:
    """Queue an embed job in the caller's transaction; one per track and model may exist.

    One that is `held` (its batch is paused) waits until it is let go.
    """
    job = Job(
        id=new_id(),
        kind=EMBED,
        track_pk=track_pk,
        model_id=model_id,
        max_attempts=max_attempts,
        priority=priority,
        held=held,
        run_at=database_now(session),
    )
    session.add(job)
    return job


def want_library_job(
    session: Session, kind: str, model_id: str, *, priority: int, max_attempts: int
) -> Job:
    """Make sure that a job about the library is queued or running, in the caller's transaction.

    The caller holds a lock on what the work reads (see service/tagging/retag.py): a running job,
    which looks at that once more before it ends, cannot miss what the caller is about to commit.
    """
    job = session.scalar(
        select(Job)
        .where(Job.kind == kind, Job.track_pk.is_(None), Job.model_id == model_id)
        .with_for_update()
    )
    now = database_now(session)
    if job is None:
        job = Job(
            id=new_id(),
            kind=kind,
            track_pk=None,
            model_id=model_id,
            priority=priority,
            max_attempts=max_attempts,
            run_at=now,
        )
        session.add(job)
    elif job.state not in (JobState.QUEUED, JobState.RUNNING):
        renew(job, max_attempts, now)
    session.flush()
    return job


def is_held(session: Session, claim: HeldJob) -> bool:
    """Whether the lease still is what it was when the job was claimed."""
    return session.scalar(select(Job.id).where(*_fence(claim))) is not None


def is_needed_elsewhere(session: Session, claim: HeldJob, priority: int) -> bool:
    """Whether a more urgent job waits that this worker could do instead."""
    urgent = select(Job.id).where(
        Job.state == JobState.QUEUED,
        Job.held.is_(False),
        Job.model_id == claim.model_id,
        Job.priority < priority,
        Job.run_at <= database_now(session),
    )
    return session.scalar(urgent.limit(1)) is not None


def hurry(session: Session, track_pk: int) -> None:
    """Let the track's queued jobs go first, even if a paused batch holds them."""
    session.execute(
        update(Job)
        .where(Job.track_pk == track_pk, Job.state == JobState.QUEUED)
        .values(priority=Priority.INTERACTIVE, held=False)
        .execution_options(synchronize_session=False)
    )


def find_job(session: Session, track_pk: int, model_id: str) -> Job | None:
    """The embed job of a track under a model."""
    return session.scalar(
        select(Job).where(Job.kind == EMBED, Job.track_pk == track_pk, Job.model_id == model_id)
    )


def finish(session: Session, claim: HeldJob) -> bool:
    """Mark the job done inside the transaction that holds its results.

    False when the lease was lost: the caller must roll back.
    """
    now = database_now(session)
    done = _fenced(claim).values(
        state=JobState.DONE,
        owner=None,
        lease_until=None,
        progress=1.0,
        finished_at=now,
        error_code=None,
        error_message=None,
    )
    if not _changed_one(session, done):
        return False
    if isinstance(claim, Claim):
        end_items(session, claim.track_pk, ItemState.DONE)
    return True


def _fence(claim: HeldJob) -> list[ColumnElement[bool]]:
    return [
        Job.id == claim.job_id,
        Job.state == JobState.RUNNING,
        Job.owner == claim.owner,
        Job.attempts == claim.attempt,
    ]


def _fenced(claim: HeldJob) -> Update:
    return update(Job).where(*_fence(claim)).execution_options(synchronize_session=False)


def _changed_one(session: Session, statement: Update) -> bool:
    return cast("CursorResult[Any]", session.execute(statement)).rowcount == 1


def _abandoned(now: datetime) -> list[ColumnElement[bool]]:
    return [Job.state == JobState.RUNNING, or_(Job.lease_until.is_(None), Job.lease_until < now)]


def _is_poison(job: Job, now: datetime) -> bool:
    silent = job.lease_until is None or job.lease_until < now
    return job.state == JobState.RUNNING and silent and job.attempts >= job.max_attempts


def _next_abandoned(session: Session, model_id: str, now: datetime) -> Job | None:
    return session.scalar(
        select(Job)
        .where(*_abandoned(now), Job.model_id == model_id, Job.attempts < Job.max_attempts)
        .order_by(Job.lease_until)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _next_queued(session: Session, model_id: str, now: datetime) -> Job | None:
    return session.scalar(
        select(Job)
        .where(
            Job.state == JobState.QUEUED,
            Job.held.is_(False),
            Job.model_id == model_id,
            Job.run_at <= now,
        )
        .order_by(Job.priority, Job.run_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def lock_track(session: Session, track_pk: int) -> Track | None:
    return session.scalar(select(Track).where(Track.pk == track_pk).with_for_update())


def requeue(job: Job, run_at: datetime) -> None:
    job.state, job.owner, job.lease_until = JobState.QUEUED, None, None
    job.progress, job.run_at = 0.0, run_at


def renew(job: Job, more_attempts: int, now: datetime) -> None:
    """Queue an ended job with a fresh set of tries; `attempts` goes on: it is the fence."""
    requeue(job, now)
    job.max_attempts = job.attempts + more_attempts
    job.error_code = job.error_message = job.finished_at = None


def _fail(session: Session, job: Job, track: Track | None, code: str, message: str) -> None:
    job.state, job.owner, job.lease_until = JobState.FAILED, None, None
    job.error_code, job.error_message = code, message
    job.finished_at = database_now(session)
    if track is None:
        return
    if track.state == TrackState.PENDING:  # a ready track stays: it has another model's vectors
        track.state, track.error_code, track.error_message = TrackState.FAILED, code, message
    session.flush()
    end_items(session, track.pk, ItemState.FAILED, code, message)
