"""Server-sent events: one watcher of the database per process, any number of listeners.

Workers may be other processes, so news is found by asking SQL, and only while someone listens.

    event: job       data: the job as GET /jobs/{id} gives it
    event: library   data: {"latest_seq": n}; tracks were published or deleted
    event: hello     data: {"latest_seq": n}; the first event: read anew what you show

Events are not replayed: after a break `hello` says so, whatever Last-Event-ID asks for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from service.errors import TooMany

log = logging.getLogger(__name__)

MAX_LISTENERS = 100
MAX_BACKLOG = 1_000
HEARTBEAT_S = 15.0


@dataclass(frozen=True)
class Event:
    """One event; `number` grows within a process."""

    number: int
    kind: str
    data: Any

    def encode(self) -> bytes:
        data = json.dumps(self.data, separators=(",", ":"))
        return f"id: {self.number}\nevent: {self.kind}\ndata: {data}\n\n".encode()


@dataclass(frozen=True)
class Change:
    """Something that happened, before it has a number."""

    kind: str
    data: Any


class EventHub:
    """Polls for changes while there are listeners, and hands each change to all of them.

    `look()` runs in a thread and gives what changed since it was last called; `hello()` gives the
    data of the first event.
    """

    def __init__(
        self,
        look: Callable[[], list[Change]],
        hello: Callable[[], Any],
        *,
        poll_s: float = 0.5,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._look = look
        self._hello = hello
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._numbers = itertools.count(1)
        self._listeners: set[asyncio.Queue[Event | None]] = set()
        self._watching: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def listeners(self) -> int:
        return len(self._listeners)

    def check_room(self) -> None:
        """Raise TooMany when too many listen already."""
        if len(self._listeners) >= MAX_LISTENERS:
            raise TooMany

    async def listen(self) -> AsyncIterator[bytes]:
        """The stream of one listener: hello, then changes, and a comment when nothing happens."""
        queue: asyncio.Queue[Event | None] = asyncio.Queue(MAX_BACKLOG)
        self._listeners.add(queue)
        try:
            if self._watching is None and not self._closed:
                self._watching = asyncio.create_task(self._watch())
            hello = Event(next(self._numbers), "hello", await run_in_threadpool(self._hello))
            yield b"retry: 2000\n" + hello.encode()
            while not self._closed:
                try:
                    event = await asyncio.wait_for(queue.get(), self._heartbeat_s)
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                if event is None:
                    return
                yield event.encode()
        finally:
            self._listeners.discard(queue)

    async def _watch(self) -> None:
        try:
            while self._listeners and not self._closed:
                await asyncio.sleep(self._poll_s)
                try:
                    changes = await run_in_threadpool(self._look)
                except Exception:
                    log.exception("could not look for changes; trying again")
                    continue
                for change in changes:
                    self._tell(Event(next(self._numbers), change.kind, change.data))
        finally:
            self._watching = None

    def _tell(self, event: Event) -> None:
        for queue in list(self._listeners):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:
                # It does not read. Ended, it can come back and start from hello.
                self._listeners.discard(queue)
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(None)

    async def close(self) -> None:
        """End every stream, so that a server can stop."""
        self._closed = True
        for queue in list(self._listeners):
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(None)
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)
