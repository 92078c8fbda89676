"""How often a caller may call: token buckets, in the memory of one process.

A bucket holds one minute's worth of calls and refills steadily, so a caller may spend a minute's
calls at once and then goes on at the rate. Several API processes count apart: each grants the full
rate. One count in SQL would make every search a write; where the sum matters, the proxy that
spreads the calls is the place to limit it.
"""

from __future__ import annotations

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from service.errors import TooMany

WINDOW_S = 60.0
MAX_BUCKETS = 50_000
"""Past this the callers not seen for longest start anew with a full bucket."""


_ROUNDING = 1e-9  # so that a token is whole when its time has come


class CostClass(StrEnum):
    """What a call costs the service; each class is counted apart."""

    SEARCH = "search"
    UPLOAD = "upload"
    MODEL = "model"
    OTHER = "other"
    FAILED_KEY = "failed_key"


@dataclass(frozen=True)
class Taken:
    """What a caller has left: `wait_s` until one more call is possible, 0 when it is."""

    kind: CostClass
    allowed: bool
    limit: int
    left: int
    wait_s: float

    @property
    def full_in_s(self) -> float:
        return (self.limit - self.left) * WINDOW_S / self.limit


class RateLimited(TooMany):
    """Carries what was asked for and what is left."""

    code, default_message = "rate_limited", "Too many calls of this kind; come back later."

    def __init__(self, taken: Taken) -> None:
        super().__init__(kind=taken.kind.value, limit_per_min=taken.limit)
        self.taken = taken
        self.retry_after_s = max(1, math.ceil(taken.wait_s))


class TooManyFailures(RateLimited):
    code = "too_many_failures"
    default_message = "Too many calls with keys that are not valid; come back later."


class TokenBuckets:
    """Buckets by any key; safe between threads, and bounded however many keys come.

    A bucket untouched for a window is full again, which is what an absent one is: forgetting it
    changes nothing.
    """

    def __init__(
        self, *, max_buckets: int = MAX_BUCKETS, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._max_buckets = max_buckets
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, kind: CostClass, caller: Hashable, per_min: float, cost: float = 1.0) -> Taken:
        """Spend `cost` tokens if they are there; a cost of 0 only looks."""
        key = (kind, caller)
        capacity = max(1.0, per_min)
        with self._lock:
            now = self._clock()
            self._forget(now, making_room=key not in self._buckets)
            tokens, seen_at = self._buckets.get(key, (capacity, now))
            tokens = min(capacity, tokens + (now - seen_at) * capacity / WINDOW_S)
            allowed = tokens + _ROUNDING >= max(cost, 1.0)
            if allowed:
                tokens = max(0.0, tokens - cost)
            if cost > 0 or not allowed:
                self._buckets[key] = (tokens, now)
                self._buckets.move_to_end(key)
            wait_s = max(0.0, 1.0 - tokens) * WINDOW_S / capacity
            return Taken(kind, allowed, int(capacity), int(tokens), wait_s)

    def _forget(self, now: float, *, making_room: bool) -> None:
        while self._buckets:
            key, (_, seen_at) = next(iter(self._buckets.items()))
            is_crowded = making_room and len(self._buckets) >= self._max_buckets
            if now - seen_at < WINDOW_S and not is_crowded:
                return
            del self._buckets[key]


class RateLimits:
    """The rates of one process; `enabled` False lets everything pass uncounted."""

    def __init__(
        self,
        per_min: Mapping[CostClass, int],
        *,
        enabled: bool,
        buckets: TokenBuckets | None = None,
    ) -> None:
        self._per_min = dict(per_min)
        self.enabled = enabled
        self._buckets = TokenBuckets() if buckets is None else buckets

    def take(self, kind: CostClass, caller: Hashable, factor: float = 1.0) -> Taken | None:
        """Count a call; None where nothing is counted. Raises RateLimited.

        `factor` multiplies the rate for a key that may do more (or less).
        """
        if not self.enabled:
            return None
        taken = self._buckets.take(kind, caller, self._per_min[kind] * factor)
        if not taken.allowed:
            raise RateLimited(taken)
        return taken

    def check_failures(self, caller: Hashable) -> None:
        """Raise TooManyFailures for a caller whose keys were wrong too often."""
        if self.enabled:
            taken = self._take_failure(caller, cost=0.0)
            if not taken.allowed:
                raise TooManyFailures(taken)

    def note_failure(self, caller: Hashable) -> None:
        """Count a wrong key."""
        if self.enabled:
            self._take_failure(caller, cost=1.0)

    def _take_failure(self, caller: Hashable, cost: float) -> Taken:
        kind = CostClass.FAILED_KEY
        return self._buckets.take(kind, caller, self._per_min[kind], cost)
