"""Work on tracks as rows: claimed by a lease, kept by heartbeats, ended by whoever still holds it.

A claim is fenced by (owner, attempts): each claim raises `attempts`, which never falls again, so
a worker that slept past its lease and wakes up finds no row that matches what it holds.

Order of locks, everywhere: track row, job row, index_changes. One clock: the database's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, cast

from sqlalchemy import ColumnElement, CursorResult, Update, or_, select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, LockSpace, database_now, lock_until_commit
from service.database.tables import Job, JobState, Track, TrackState
from service.ids import new_id

EMBED = "embed"
WORKER_DIED = "worker_died"
_WORKER_DIED_MESSAGE = "The process that worked on this file died each time."
_BACKOFF_S = (5.0, 30.0, 120.0)


@dataclass(frozen=True)
class Claim:
    """A lease on one job, and what its work needs."""

    job_id: str
    track_pk: int
    model_id: str
    sha256: str
    owner: str
    attempt: int


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

    def claim(self, owner: str, model_id: str) -> Claim | None:
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
            sha256 = session.scalars(select(Track.sha256).where(Track.pk == job.track_pk)).one()
            return Claim(job.id, job.track_pk, job.model_id, sha256, owner, job.attempts)

    def heartbeat(self, claim: Claim, progress: float | None = None) -> Lease:
        """Renew the lease and note the progress (0 to 1); LOST after a cancel or a take-over."""
        with self._database.write() as session:
            until = database_now(session) + timedelta(seconds=self.lease_s)
            values: dict[str, Any] = {"lease_until": until}
            if progress is not None:
                values["progress"] = min(max(progress, 0.0), 1.0)
            held = _changed_one(session, _fenced(claim).values(values))
        return Lease.HELD if held else Lease.LOST

    def fail(self, claim: Claim, code: str, message: str, *, retryable: bool) -> bool:
        """End a try: queued again after a pause while tries are left and `retryable`, else failed.

        False when the lease was lost: nothing was written.
        """
        with self._database.write() as session:
            track = lock_track(session, claim.track_pk)
            job = session.scalar(
                select(Job)
                .where(*_fence(claim))
                .with_for_update()
                .execution_options(populate_existing=True)
            )
            if job is None or track is None:
                return False
            if retryable and job.attempts < job.max_attempts:
                pause = _BACKOFF_S[min(job.attempts, len(_BACKOFF_S)) - 1]
                requeue(job, database_now(session) + timedelta(seconds=pause))
                job.error_code, job.error_message = code, message
            else:
                _fail(job, track, code, message, database_now(session))
        return True

    def release(self, claim: Claim) -> bool:
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
                    add_job(session, pk, model_id, self.max_attempts)
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
                track = lock_track(session, track_pk)
                job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
                now = database_now(session)
                if track and job and _is_poison(job, now):
                    _fail(job, track, WORKER_DIED, _WORKER_DIED_MESSAGE, now)


def add_job(session: Session, track_pk: int, model_id: str, max_attempts: int) -> Job:
    """Queue an embed job in the caller's transaction; one per track and model may exist."""
    job = Job(
        id=new_id(),
        kind=EMBED,
        track_pk=track_pk,
        model_id=model_id,
        max_attempts=max_attempts,
        run_at=database_now(session),
    )
    session.add(job)
    return job


def find_job(session: Session, track_pk: int, model_id: str) -> Job | None:
    """The embed job of a track under a model."""
    return session.scalar(
        select(Job).where(Job.kind == EMBED, Job.track_pk == track_pk, Job.model_id == model_id)
    )


def finish(session: Session, claim: Claim) -> bool:
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
    return _changed_one(session, done)


def _fence(claim: Claim) -> list[ColumnElement[bool]]:
    return [
        Job.id == claim.job_id,
        Job.state == JobState.RUNNING,
        Job.owner == claim.owner,
        Job.attempts == claim.attempt,
    ]


def _fenced(claim: Claim) -> Update:
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
        .where(Job.state == JobState.QUEUED, Job.model_id == model_id, Job.run_at <= now)
        .order_by(Job.priority, Job.run_at)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def lock_track(session: Session, track_pk: int) -> Track | None:
    return session.scalar(select(Track).where(Track.pk == track_pk).with_for_update())


def requeue(job: Job, run_at: datetime) -> None:
    job.state, job.owner, job.lease_until = JobState.QUEUED, None, None
    job.progress, job.run_at = 0.0, run_at


def _fail(job: Job, track: Track, code: str, message: str, now: datetime) -> None:
    job.state, job.owner, job.lease_until = JobState.FAILED, None, None
    job.error_code, job.error_message, job.finished_at = code, message, now
    if track.state == TrackState.PENDING:  # a ready track stays: it has another model's vectors
        track.state, track.error_code, track.error_message = TrackState.FAILED, code, message
