"""Workers as rows: who is there, who fell silent, and what that means for jobs that wait."""

from __future__ import annotations

import time

import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import Job
from service.jobs.queue import JobQueue, Lease, add_job
from service.jobs.workers import (
    MODEL_NOT_LOADED,
    NO_WORKER,
    WORKER_FAILED,
    Sign,
    WorkerRegistry,
    WorkerState,
)
from tests.support.rows import new_track

READY = Sign(WorkerState.READY, ("m",))
LOADING = Sign(WorkerState.LOADING)
FAILED = Sign(WorkerState.FAILED, (), "it could not be loaded")


@pytest.fixture
def registry(database: Database) -> WorkerRegistry:
    return WorkerRegistry(database, alive_s=600.0)


def states(registry: WorkerRegistry) -> dict[str, str]:
    return {item.id: item.state for item in registry.board().items}


def test_a_worker_comes_works_and_goes(registry: WorkerRegistry) -> None:
    registry.arrive("host:1:a", "worker", LOADING)
    assert states(registry) == {"host:1:a": "loading"}
    assert registry.tell("host:1:a", READY)
    (seen,) = registry.board().items
    assert (seen.host, seen.role, seen.state, seen.model_ids) == ("host", "worker", "ready", ("m",))
    registry.leave("host:1:a")
    assert states(registry) == {}
    assert not registry.tell("host:1:a", READY), "its row is gone, and it is told so"


def test_what_is_not_heard_of_is_silent_and_one_that_failed_says_why(database: Database) -> None:
    registry = WorkerRegistry(database, alive_s=0.05)
    registry.arrive("host:1:a", "worker", READY)
    registry.arrive("host:2:b", "worker", LOADING)
    registry.leave("host:2:b", "the folder is gone")
    time.sleep(0.1)
    assert states(registry) == {"host:1:a": "silent", "host:2:b": "failed"}
    assert registry.board().counts == {"loading": 0, "ready": 0, "failed": 1, "silent": 1}
    assert [item.problem for item in registry.board().items] == [None, "the folder is gone"]


def test_a_new_start_on_a_host_is_the_next_try_of_what_failed_there(database: Database) -> None:
    registry = WorkerRegistry(database, alive_s=600.0)
    for name in ("here:1:a", "there:1:a"):
        registry.arrive(name, "worker", LOADING)
        registry.leave(name, "it failed")
    registry.arrive("here:2:b", "worker", FAILED)  # failed, but its process goes on
    registry.arrive("here:3:c", "worker", READY)
    assert states(registry) == {"there:1:a": "failed", "here:2:b": "failed", "here:3:c": "ready"}


def test_jobs_say_that_they_wait_for_nobody(registry: WorkerRegistry) -> None:
    def problem(model_id: str | None = "m") -> object:
        return registry.board().problem_of(model_id)

    assert problem() is NO_WORKER
    registry.arrive("host:1:a", "worker", FAILED)
    assert problem() is WORKER_FAILED
    registry.arrive("host:2:b", "service", LOADING)
    assert problem() is None, "it may be ready soon"
    registry.tell("host:2:b", READY)
    assert problem() is None
    assert problem(None) is None
    assert problem("another") is MODEL_NOT_LOADED


def test_what_the_dead_held_is_free_and_stays_fenced(
    database: Database, registry: WorkerRegistry
) -> None:
    queue = JobQueue(database, lease_s=600.0)
    with database.write() as session:
        add_job(session, new_track(session).pk, "m", 3)
    registry.arrive("host:1:a", "worker", READY)
    held = queue.claim("host:1:a", "m")
    assert held is not None
    assert registry.board().items[0].job_id == held.job_id
    assert queue.claim("host:2:b", "m") is None
    assert registry.free_what_they_held(["host:9:z"]) == 0
    assert queue.claim("host:2:b", "m") is None
    assert registry.free_what_they_held(["host:1:a"]) == 1
    assert states(registry) == {}
    taken = queue.claim("host:2:b", "m")
    assert taken is not None
    assert (taken.job_id, taken.attempt) == (held.job_id, held.attempt + 1)
    assert queue.heartbeat(held) is Lease.LOST, "if it was alive after all, it can write nothing"
    assert not queue.fail(held, "late", "late", retryable=False)
    with database.read() as session:
        assert session.scalars(sa.select(Job.owner)).one() == "host:2:b"
