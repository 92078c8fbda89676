"""Workers as rows: each says again and again that it is there, with which models, and what ails it.

What keeps two workers from one job is the claim alone (service/jobs/queue.py). These rows are for
people: to see who works, why somebody cannot, and that jobs wait for nobody.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from sqlalchemy import Delete, Update, and_, delete, func, or_, select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.import_tables import Import
from service.database.tables import Job, JobState
from service.database.worker_tables import WorkerRow
from service.database.worker_tables import WorkerState as WorkerState

SILENT: Literal["silent"] = "silent"
KEPT = timedelta(hours=24)
"""How long a worker that failed or fell silent is listed."""

Role = Literal["service", "worker"]


@dataclass(frozen=True)
class Sign:
    """What a worker says of itself; `problem` is why it cannot do all that it should."""

    state: WorkerState
    model_ids: tuple[str, ...] = ()
    problem: str | None = None


@dataclass(frozen=True)
class WorkerView:
    """A worker as others see it: its state, or `silent` where nothing was heard in time."""

    id: str
    host: str
    role: str
    state: str
    model_ids: tuple[str, ...]
    problem: str | None
    started_at: datetime
    seen_at: datetime
    job_id: str | None = None


@dataclass(frozen=True)
class QueueProblem:
    """Why queued jobs of a model do not get on; `code` is stable."""

    code: str
    message: str


NO_WORKER = QueueProblem(
    "no_worker",
    "No worker is there: start `muquery worker`, or `muquery serve` without MUQUERY_WORKER=off.",
)
WORKER_FAILED = QueueProblem(
    "worker_failed",
    "No worker can work: GET /workers, `muquery status` and the workers' logs say why.",
)
MODEL_NOT_LOADED = QueueProblem(
    "model_not_loaded", "No worker has loaded the model that this is to be analysed with."
)


@dataclass(frozen=True)
class WorkerBoard:
    """The workers of one moment; those that can be counted on are `loading` or `ready`."""

    items: list[WorkerView] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """Workers in each state, each state named."""
        states = [*map(str, WorkerState), SILENT]
        return {state: sum(item.state == state for item in self.items) for state in states}

    def problem_of(self, model_id: str | None = None) -> QueueProblem | None:
        """Why a job of this model (or any) would wait for nobody; None where it would not."""
        counts = self.counts
        if counts[WorkerState.LOADING]:
            return None
        if not counts[WorkerState.READY]:
            return WORKER_FAILED if counts[WorkerState.FAILED] else NO_WORKER
        ready = (item for item in self.items if item.state == WorkerState.READY)
        if model_id is not None and not any(model_id in item.model_ids for item in ready):
            return MODEL_NOT_LOADED
        return None


def read_board(session: Session) -> WorkerBoard:
    """All workers that are known, the longest there first."""
    now = database_now(session)
    rows = session.scalars(select(WorkerRow).order_by(WorkerRow.started_at, WorkerRow.id)).all()
    running = select(Job.owner, Job.id).where(Job.state == JobState.RUNNING)
    jobs = {row[0]: row[1] for row in session.execute(running)} if rows else {}
    kept = [row for row in rows if row.seen_at > now - KEPT]
    return WorkerBoard([_view(row, now, jobs.get(row.id)) for row in kept])


def _view(row: WorkerRow, now: datetime, job_id: str | None) -> WorkerView:
    is_silent = row.alive_until < now and row.state != WorkerState.FAILED
    return WorkerView(
        id=row.id,
        host=row.host,
        role=row.role,
        state=SILENT if is_silent else row.state,
        model_ids=tuple(row.model_ids),
        problem=row.problem,
        started_at=row.started_at,
        seen_at=row.seen_at,
        job_id=job_id,
    )


class WorkerRegistry:
    """Where a worker says that it is there; every method is one short transaction."""

    def __init__(self, database: Database, *, alive_s: float = 60.0) -> None:
        """`alive_s`: how long a worker counts as there after a sign of life."""
        self._database = database
        self.alive_s = alive_s

    def arrive(self, worker_id: str, role: Role, sign: Sign) -> None:
        """Add a worker; what failed on this host before it, or was silent for long, is forgotten.

        A process that starts anew on a host is the next try of what failed there.
        """
        with self._database.write() as session:
            now, host = database_now(session), worker_id.partition(":")[0]
            failed_here = and_(
                WorkerRow.host == host,
                WorkerRow.state == WorkerState.FAILED,
                WorkerRow.alive_until < now,
            )
            _change(
                session, delete(WorkerRow).where(or_(WorkerRow.seen_at < now - KEPT, failed_here))
            )
            row = WorkerRow(id=worker_id, host=host, role=role, started_at=now)
            self._write(row, sign, now)
            session.add(row)

    def tell(self, worker_id: str, sign: Sign) -> bool:
        """Say that it is there, and how it is; False where its row is gone."""
        with self._database.write() as session:
            row = session.get(WorkerRow, worker_id)
            if row is None:
                return False
            self._write(row, sign, database_now(session))
            return True

    def _write(self, row: WorkerRow, sign: Sign, now: datetime) -> None:
        row.state, row.model_ids, row.problem = sign.state, list(sign.model_ids), sign.problem
        row.seen_at, row.alive_until = now, now + timedelta(seconds=self.alive_s)

    def leave(self, worker_id: str, problem: str | None = None) -> None:
        """Take a worker away; one that ends because of a problem stays listed as failed."""
        with self._database.write() as session:
            row = session.get(WorkerRow, worker_id)
            if row is not None and problem is None:
                session.delete(row)
            elif row is not None:
                row.state, row.problem = WorkerState.FAILED, problem
                row.seen_at = row.alive_until = database_now(session)

    def board(self) -> WorkerBoard:
        with self._database.read() as session:
            return read_board(session)

    def free_what_they_held(self, worker_ids: Sequence[str]) -> int:
        """End the leases of workers that are proven to have died; how many jobs that frees.

        A job that is freed is claimed anew as one whose lease ran out: with another owner and a
        higher attempt, so that the fence is what it always is.
        """
        with self._database.write() as session:
            held = (Job.state == JobState.RUNNING, Job.owner.in_(worker_ids))
            freed = session.scalar(select(func.count()).select_from(Job).where(*held)) or 0
            _change(session, update(Job).where(*held).values(lease_until=None))
        with self._database.write() as session:
            free = update(Import).where(Import.owner.in_(worker_ids))
            _change(session, free.values(owner=None, lease_until=None))
            _change(session, delete(WorkerRow).where(WorkerRow.id.in_(worker_ids)))
        return freed


def _change(session: Session, statement: Update | Delete) -> None:
    session.execute(statement.execution_options(synchronize_session=False))
