"""What clients may do with jobs: look, cancel, try again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.import_tables import ItemState
from service.database.paging import Keyset, Page
from service.database.tables import Job, JobState, Track, TrackState
from service.errors import JobNotCancellable, JobNotFound, JobNotRetryable
from service.jobs.batch_items import (
    JOB_CANCELLED,
    JOB_CANCELLED_MESSAGE,
    end_items,
    reopen_items,
)
from service.jobs.queue import lock_track, renew
from service.jobs.workers import QueueProblem, read_board


@dataclass(frozen=True)
class JobView:
    """A job with what a list shows of its track; a job about the whole library has none.

    `problem`: why it is queued and would stay so; None while somebody is there to do it.
    """

    job: Job
    track_id: str | None
    track_title: str | None
    problem: QueueProblem | None = None


@dataclass(frozen=True)
class JobList:
    """One page of jobs, and the number of jobs in each state over all pages."""

    page: Page[JobView]
    counts: dict[str, int]


class JobService:
    """Jobs as clients see them; rows come back detached from any session."""

    def __init__(self, database: Database, *, max_attempts: int = 3) -> None:
        self._database = database
        self._max_attempts = max_attempts

    def get_job(self, job_id: str) -> JobView:
        """Raises JobNotFound."""
        with self._database.read() as session:
            return _get_view(session, job_id)

    def list_jobs(
        self, *, state: str | None = None, limit: int = 50, cursor: str | None = None
    ) -> JobList:
        """Newest first; raises InvalidCursor."""
        keyset = Keyset("created_at", Job.created_at.expression, Job.id.expression, True)
        wanted: list[ColumnElement[bool]] = [] if state is None else [Job.state == state]
        query = (
            select(Job, Track.id, Track.title)
            .outerjoin(Track, Track.pk == Job.track_pk)
            .where(*wanted, *keyset.after(cursor))
            .order_by(*keyset.order_by())
            .limit(limit + 1)
        )
        with self._database.read() as session:
            rows = session.execute(query).all()
            counts = _count_states(session)
            items = with_problems(session, [JobView(*row) for row in rows[:limit]])
        more = None
        if len(rows) > limit:
            more = keyset.cursor(items[-1].job.created_at, items[-1].job.id)
        total = sum(counts.values()) if state is None else counts.get(state, 0)
        return JobList(Page(items, total, more), counts)

    def count_states(self) -> dict[str, int]:
        """Jobs per state, each state named."""
        with self._database.read() as session:
            return _count_states(session)

    def look_at(self, view: JobView) -> JobView:
        """The same job, with what it waits for in vain."""
        with self._database.read() as session:
            return with_problems(session, [view])[0]

    def count_waiting(self) -> int:
        """Queued jobs, without those that a paused batch holds."""
        query = select(func.count()).where(Job.state == JobState.QUEUED, Job.held.is_(False))
        with self._database.read() as session:
            return session.scalar(query) or 0

    def cancel(self, job_id: str) -> JobView:
        """Stop a queued or running job; raises JobNotFound, JobNotCancellable.

        A running one ends in SQL at once; its worker notices at its next batch and writes nothing.
        """
        with self._database.write() as session:
            job = _lock_job(session, job_id)
            if job.state not in (JobState.QUEUED, JobState.RUNNING):
                raise JobNotCancellable(state=job.state)
            job.state, job.owner, job.lease_until = JobState.CANCELLED, None, None
            job.finished_at = database_now(session)
            session.flush()
            if job.track_pk is not None:
                end_items(
                    session, job.track_pk, ItemState.CANCELLED, JOB_CANCELLED, JOB_CANCELLED_MESSAGE
                )
            return _get_view(session, job_id)

    def retry(self, job_id: str) -> JobView:
        """Queue a failed or cancelled job again; raises JobNotFound, JobNotRetryable."""
        with self._database.write() as session:
            track_pk = session.scalar(select(Job.track_pk).where(Job.id == job_id))
            track = None if track_pk is None else lock_track(session, track_pk)
            job = _lock_job(session, job_id)
            if track is None and track_pk is not None:
                raise JobNotFound(job_id=job_id)
            if job.state not in (JobState.FAILED, JobState.CANCELLED):
                raise JobNotRetryable(state=job.state)
            renew(job, self._max_attempts, database_now(session))
            session.flush()
            if track is not None:
                _reopen(session, track)
            return _get_view(session, job_id)


def _lock_job(session: Session, job_id: str) -> Job:
    job = session.scalar(select(Job).where(Job.id == job_id).with_for_update())
    if job is None:
        raise JobNotFound(job_id=job_id)
    return job


def _get_view(session: Session, job_id: str) -> JobView:
    row = session.execute(
        select(Job, Track.id, Track.title)
        .outerjoin(Track, Track.pk == Job.track_pk)
        .where(Job.id == job_id)
    ).one_or_none()
    if row is None:
        raise JobNotFound(job_id=job_id)
    return with_problems(session, [JobView(*row)])[0]


def with_problems(session: Session, views: Sequence[JobView]) -> list[JobView]:
    """Add why queued jobs wait for nobody; those of a paused batch wait for its end alone."""
    if not any(_waits(view.job) for view in views):
        return list(views)
    board = read_board(session)
    return [
        replace(view, problem=board.problem_of(view.job.model_id)) if _waits(view.job) else view
        for view in views
    ]


def _waits(job: Job) -> bool:
    return job.state == JobState.QUEUED and not job.held


def _count_states(session: Session) -> dict[str, int]:
    rows = session.execute(select(Job.state, func.count()).group_by(Job.state)).all()
    return {str(state): 0 for state in JobState} | {row[0]: row[1] for row in rows}


def _reopen(session: Session, track: Track) -> None:
    """What waits for this track's job waits again."""
    reopen_items(session, track.pk)
    if track.state == TrackState.FAILED:
        track.state, track.error_code, track.error_message = TrackState.PENDING, None, None
