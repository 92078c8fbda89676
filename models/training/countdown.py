"""A line now and then about work of known size: how much is done, and when it will end."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

ItemT = TypeVar("ItemT")
Say = Callable[[str], None]


def silent(_: str) -> None:
    """Say nothing."""


def clock(seconds: float) -> str:
    """Write a duration as h:mm:ss."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"


def counted(
    items: Iterable[ItemT], total: int, what: str, say: Say, every_s: float = 10.0
) -> Iterator[ItemT]:
    """Yield the items; every `every_s` seconds, and at the end, say how many there were of `total`.

    A line reads "rendered: 300 of 3451, 1.7 a second, ETA 0:30:53".
    """
    started = said = time.monotonic()
    for done, item in enumerate(items, start=1):
        yield item
        now = time.monotonic()
        if now - said >= every_s or done == total:
            said = now
            rate = done / max(now - started, 1e-9)
            left_s = (total - done) / rate
            say(f"{what}: {done} of {total}, {rate:.1f} a second, ETA {clock(left_s)}")
