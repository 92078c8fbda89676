"""What a call is to the benchmark: a request that can be made again and again, and who makes it."""

from __future__ import annotations

import io
import random
import wave
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import cycle, product
from typing import Any

import httpx
import numpy as np

from tests.latency.library import SAMPLE_RATE_HZ, LibraryFacts
from tests.latency.names import BEAT, HOW, WHAT, WHERE

UPLOAD_S = 10.0


@dataclass(frozen=True)
class Request:
    """One HTTP request under the API's prefix; `options` are httpx's."""

    method: str
    path: str
    options: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Call:
    """A kind of request: its operation as OpenAPI names it, and how a new one is made.

    `make` may itself call the service, outside of what is timed. `rounds` where the usual number
    would take too long or is not possible.
    """

    operation: str
    name: str
    make: Callable[[Caller], Request]
    rounds: int | None = None


class Caller:
    """One client of the service, and what it knows of the library."""

    def __init__(self, api: str, facts: LibraryFacts, *, seed: int = 0) -> None:
        self.http = httpx.Client(base_url=api, timeout=600.0)
        self.facts = facts
        self.chance = random.Random(seed)
        self._texts = self._new_texts()
        self._spare = self._spare_ids()
        self._failed_jobs = cycle(facts.failed_job_ids)
        self._counter = seed * 1_000_000
        self._kept: dict[str, Any] = {}

    def close(self) -> None:
        self.http.close()

    def do(self, method: str, path: str, **options: Any) -> Any:
        """A call that is not timed; its JSON."""
        answer = self.http.request(method, path, **options)
        answer.raise_for_status()
        return answer.json() if answer.content else None

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What was made once for this caller."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def number(self) -> int:
        """One that no other call of this caller was given."""
        self._counter += 1
        return self._counter

    def text(self) -> str:
        """A text that was not asked before, so that the model has to read it."""
        return next(self._texts)

    def track_id(self) -> str:
        return self.chance.choice(self.facts.track_ids)

    def audio_id(self) -> str:
        return self.chance.choice(self.facts.audio_ids)

    def spare_ids(self, count: int) -> list[str]:
        """Tracks that no other call asks for: they may be changed or deleted."""
        return [next(self._spare) for _ in range(count)]

    def failed_job_id(self) -> str:
        return next(self._failed_jobs)

    def sound(self) -> bytes:
        """A WAV file of ten seconds, each time with other bytes."""
        seed = self.number()
        times = np.arange(int(UPLOAD_S * SAMPLE_RATE_HZ)) / SAMPLE_RATE_HZ
        noise = np.random.default_rng(seed).standard_normal(times.size)
        samples = 0.4 * np.sin(2 * np.pi * (200 + seed % 1000) * times) + 0.02 * noise
        file = io.BytesIO()
        with wave.open(file, "wb") as writer:
            writer.setnchannels(1)
            writer.setsampwidth(2)
            writer.setframerate(SAMPLE_RATE_HZ)
            writer.writeframes((32_000 * samples.clip(-1, 1)).astype("<i2").tobytes())
        return file.getvalue()

    def _new_texts(self) -> Iterator[str]:
        parts = list(product(HOW, WHAT, WHERE, BEAT))
        self.chance.shuffle(parts)
        return (f"{how} {what} {where} {beat}" for how, what, where, beat in parts)

    def _spare_ids(self) -> Iterator[str]:
        known = {*self.facts.track_ids, *self.facts.copied_ids, *self.facts.audio_ids}
        cursor = None
        while True:
            given = {} if cursor is None else {"cursor": cursor}
            page = self.do("GET", "/tracks", params={"limit": 200, "state": "ready", **given})
            yield from (each["id"] for each in page["items"] if each["id"] not in known)
            cursor = page["next_cursor"]
