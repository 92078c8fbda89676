"""The one thread that runs the model.

A model is safe to call from one thread at a time, and more threads on the same cores would only
slow each other down. Work is taken by urgency: a text that someone waits for goes before the next
clip batch of a job, so it waits for one batch at most. Nothing here blocks an event loop: results
are futures.
"""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, TypeVar

from service.errors import Unavailable

T = TypeVar("T")


class Urgency(IntEnum):
    """Smaller goes first; equals go in the order in which they came."""

    LOAD = 0
    TEXT = 1
    QUERY_CLIPS = 2
    JOB_CLIPS = 3
    STOP = 4


@dataclass(order=True)
class _Task:
    urgency: Urgency
    number: int
    run: Callable[[], Any] = field(compare=False)
    future: Future[Any] = field(compare=False)


class ModelThread:
    """Runs submitted calls one after another in a thread of its own, started at first use."""

    def __init__(self) -> None:
        self._tasks: queue.PriorityQueue[_Task] = queue.PriorityQueue()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = False

    def submit(self, urgency: Urgency, run: Callable[[], T]) -> Future[T]:
        """Queue a call; raises Unavailable after `close`. A cancelled future's call never runs."""
        future: Future[T] = Future()
        with self._lock:
            if self._closed:
                raise Unavailable("The service is shutting down.")
            self._tasks.put(_Task(urgency, next(self._numbers), run, future))
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="model", daemon=True)
                self._thread.start()
        return future

    def close(self) -> None:
        """Finish what was submitted, then end the thread; safe to call again."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
            if thread is not None:
                self._tasks.put(_Task(Urgency.STOP, next(self._numbers), lambda: None, Future()))
        if thread is not None:
            thread.join()

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            if task.urgency is Urgency.STOP:
                return
            if not task.future.set_running_or_notify_cancel():
                continue
            try:
                task.future.set_result(task.run())
            except BaseException as error:  # noqa: BLE001 - it belongs to whoever waits
                task.future.set_exception(error)
