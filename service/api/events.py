"""Server-sent events: one watcher of the database per process, any number of listeners.

Workers may be other processes, so news is found by asking SQL, and only while someone listens.

    event: job       data: the job as GET /jobs/{id} gives it
    event: library   data: {"latest_seq": n}; tracks were published or deleted
    event: import    data: the import as GET /imports/{id} gives it
    event: hello     data: {"latest_seq": n, "resumed": bool}; the first event of a stream

A client that comes back with Last-Event-ID gets what it missed, and `hello` says `resumed`: true.
Where that is not known any more (another process, a long break) it is false: read anew what you
show. The watcher goes on for a while after the last listener left, so that a short break costs
nothing.
"""

from __future__ import annotations

import asyncio
import json
import logging
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from starlette.concurrency import run_in_threadpool

from service.errors import TooMany

log = logging.getLogger(__name__)

MAX_LISTENERS = 100
MAX_BACKLOG = 1_000
MAX_REPLAYED = 1_000
HEARTBEAT_S = 15.0
LINGER_S = 60.0
"""How long changes are watched for nobody, so that someone may come back."""


@dataclass(frozen=True)
class Event:
    """One event; `number` grows within a stretch of watching, which `stretch` names."""

    stretch: str
    number: int
    kind: str
    data: Any

    def encode(self) -> bytes:
        data = json.dumps(self.data, separators=(",", ":"))
        name = f"{self.stretch}-{self.number}"
        return f"id: {name}\nevent: {self.kind}\ndata: {data}\n\n".encode()


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
        linger_s: float = LINGER_S,
    ) -> None:
        self._look = look
        self._hello = hello
        self._poll_s = poll_s
        self._heartbeat_s = heartbeat_s
        self._linger_s = linger_s
        self._stretch = ""
        self._number = 0
        self._recent: deque[Event] = deque(maxlen=MAX_REPLAYED)
        self._left_at = 0.0
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

    async def listen(self, last_event_id: str | None = None) -> AsyncIterator[bytes]:
        """The stream of one listener: hello, then changes, and a comment when nothing happens.

        With the id of the last event that it got, a listener first gets what it missed since.
        """
        queue: asyncio.Queue[Event | None] = asyncio.Queue(MAX_BACKLOG)
        if self._watching is None and not self._closed:
            self._begin_stretch()
        # One step of the event loop: no event can fall between what is replayed and the queue.
        missed = self._missed_since(last_event_id)
        stretch, number = self._stretch, self._number
        self._listeners.add(queue)
        try:
            data = {**await run_in_threadpool(self._hello), "resumed": missed is not None}
            if missed:
                number = missed[0].number - 1
            yield b"retry: 2000\n" + Event(stretch, number, "hello", data).encode()
            for earlier in missed or ():
                yield earlier.encode()
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
            self._left_at = time.monotonic()

    def _begin_stretch(self) -> None:
        self._stretch, self._number = secrets.token_hex(4), 0
        self._recent.clear()
        self._watching = asyncio.create_task(self._watch())

    def _missed_since(self, last_event_id: str | None) -> list[Event] | None:
        """The events after this one; None where that is not known."""
        stretch, _, number = (last_event_id or "").partition("-")
        if stretch != self._stretch or not number.isdecimal() or int(number) > self._number:
            return None
        missed = [event for event in self._recent if event.number > int(number)]
        return missed if len(missed) == self._number - int(number) else None

    def _has_reason_to_watch(self) -> bool:
        waits = time.monotonic() - self._left_at < self._linger_s
        return not self._closed and (bool(self._listeners) or waits)

    async def _watch(self) -> None:
        try:
            while self._has_reason_to_watch():
                await asyncio.sleep(self._poll_s)
                try:
                    changes = await run_in_threadpool(self._look)
                except Exception:
                    log.exception("could not look for changes; trying again")
                    continue
                for change in changes:
                    self._number += 1
                    event = Event(self._stretch, self._number, change.kind, change.data)
                    self._recent.append(event)
                    self._tell(event)
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
