"""The signs of life of one worker, and its look at whether others of its machine have died."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from service.jobs.workers import Role, Sign, WorkerRegistry
from service.worker.marks import WorkerMarks

logger = logging.getLogger(__name__)

_TICK_S = 1.0


class Presence:
    """Tells the database in a thread of its own: every third of the time that a sign counts for,
    and as soon as there is something new to tell. `on_freed` is called when jobs came free.
    """

    def __init__(
        self,
        registry: WorkerRegistry,
        marks: WorkerMarks,
        worker_id: str,
        look: Callable[[], Sign],
        *,
        on_freed: Callable[[], None] = lambda: None,
    ) -> None:
        self._registry = registry
        self._marks = marks
        self._worker_id = worker_id
        self._look = look
        self._on_freed = on_freed
        self._role: Role = "service"
        self._told: Sign | None = None
        self._told_at = 0.0
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self, role: Role) -> None:
        """Arrive, then go on in a thread."""
        self._role = role
        self._marks.hold(self._worker_id)
        self._beat_or_log()
        self._thread = threading.Thread(target=self._run, name="presence", daemon=True)
        self._thread.start()

    def stop(self, problem: str | None = None) -> None:
        """Leave; with a problem the worker stays listed as failed. Safe without `start`."""
        self._stop.set()
        if self._thread is None:
            return
        self._thread.join()
        self._thread = None
        try:
            self._registry.leave(self._worker_id, problem)
        except Exception:
            logger.exception("could not say that this worker ends")
        self._marks.release()

    def _run(self) -> None:
        while not self._stop.wait(min(_TICK_S, self._registry.alive_s / 3)):
            self._beat_or_log()

    def _beat_or_log(self) -> None:
        try:
            self._beat()
        except Exception:
            logger.exception("could not say that this worker is there; trying again")

    def _beat(self) -> None:
        sign = self._look()
        is_due = time.monotonic() - self._told_at >= self._registry.alive_s / 3
        if self._told is None:
            self._registry.arrive(self._worker_id, self._role, sign)
        elif sign == self._told and not is_due:
            return
        elif not self._registry.tell(self._worker_id, sign):
            self._registry.arrive(self._worker_id, self._role, sign)
        self._told, self._told_at = sign, time.monotonic()
        self._take_over()

    def _take_over(self) -> None:
        with self._marks.dead() as dead:
            freed = self._registry.free_what_they_held(dead) if dead else 0
        if dead:
            logger.warning("died on this machine: %s; jobs that go on: %d", ", ".join(dead), freed)
        if freed:
            self._on_freed()
