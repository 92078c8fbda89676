"""A worker says how it is, and takes over at once from one that was killed on its machine."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.database.engine import Database
from service.jobs.queue import JobQueue, add_job
from service.jobs.workers import Sign, WorkerRegistry, WorkerState
from service.worker.marks import WorkerMarks
from service.worker.presence import Presence
from tests.service.worker.test_marks import holder
from tests.support.rows import new_track
from tests.support.service import eventually

READY = Sign(WorkerState.READY, ("m",))
OWN = "host:0:own"


@pytest.fixture
def registry(database: Database) -> WorkerRegistry:
    return WorkerRegistry(database, alive_s=0.6)


@contextmanager
def present(
    registry: WorkerRegistry,
    folder: Path,
    look: Callable[[], Sign],
    on_freed: Callable[[], None] = lambda: None,
) -> Iterator[Presence]:
    presence = Presence(registry, WorkerMarks(folder), OWN, look, on_freed=on_freed)
    presence.start("worker")
    try:
        yield presence
    finally:
        presence.stop()


def test_what_changes_is_told_and_silence_never_comes(
    registry: WorkerRegistry, tmp_path: Path
) -> None:
    signs = [Sign(WorkerState.LOADING)]
    with present(registry, tmp_path, lambda: signs[-1]):
        (first,) = registry.board().items
        # A pause of the machine is longer than so short a sign counts, until it is heard of again.
        eventually(lambda: registry.board().items[0].state == "loading")
        signs.append(READY)
        later = eventually(
            lambda: [w for w in registry.board().items if w.state == "ready"] or None
        )
        # Heard of again although nothing changed, for longer than one sign counts.
        eventually(lambda: (registry.board().items[0].seen_at - later[0].seen_at).seconds >= 1)
        assert registry.board().items[0].started_at == first.started_at
    assert registry.board().items == []


def test_a_row_that_somebody_took_away_comes_back(registry: WorkerRegistry, tmp_path: Path) -> None:
    with present(registry, tmp_path, lambda: READY):
        registry.leave(OWN)
        eventually(lambda: [w.id for w in registry.board().items] == [OWN])


def test_the_jobs_of_a_killed_worker_go_on_before_their_lease_ends(
    database: Database, registry: WorkerRegistry, tmp_path: Path
) -> None:
    queue = JobQueue(database, lease_s=3600.0)
    with database.write() as session:
        add_job(session, new_track(session).pk, "m", 3)
    freed = threading.Event()
    with holder(tmp_path, "host:1:a") as other:
        held = queue.claim("host:1:a", "m")
        assert held is not None
        with present(registry, tmp_path, lambda: READY, freed.set):
            assert queue.claim(OWN, "m") is None
            assert not freed.is_set()
            other.kill()
            other.wait()
            assert freed.wait(30)
            taken = queue.claim(OWN, "m")
            assert taken is not None
            assert (taken.job_id, taken.attempt) == (held.job_id, held.attempt + 1)
