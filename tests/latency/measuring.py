"""Times calls over HTTP, one after another or several at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle

import httpx
import numpy as np

from tests.latency.call import Call, Caller, Request
from tests.latency.server import RunningServer

ROUNDS = 25
WARM_UP = 2
BUDGET_S = 4.0
LEAST_ROUNDS = 8
"""A slow call is made at least so often, then until its budget is used up."""


@dataclass(frozen=True)
class Timing:
    """Milliseconds of one kind of call, as its client saw it; `cpu_ms` the server spent on each."""

    operation: str
    name: str
    rounds: int
    p50_ms: float
    p95_ms: float
    most_ms: float
    cpu_ms: float
    answer_bytes: int


@dataclass(frozen=True)
class Crowd:
    """Several clients at once, each asking as soon as it was answered."""

    name: str
    callers: int
    calls_per_s: float
    p50_ms: float
    p95_ms: float


class CallFailed(Exception):
    """A call was not answered with success; nothing can be said of its latency."""


def measure(
    calls: Iterable[Call], caller: Caller, server: RunningServer, *, rounds: int = ROUNDS
) -> Iterator[Timing]:
    """Each call `rounds` times, after a warm-up; raises CallFailed."""
    for call in calls:
        wanted = rounds if call.rounds is None else min(call.rounds, rounds)
        for _ in range(WARM_UP if wanted > 1 else 0):
            send(caller, call, call.make(caller))
        yield _measured(call, caller, server, wanted)


def _measured(call: Call, caller: Caller, server: RunningServer, rounds: int) -> Timing:
    taken_ms: list[float] = []
    size, cpu_s = 0, 0.0
    while len(taken_ms) < rounds:
        request = call.make(caller)
        busy_s, began = server.cpu_s(), time.perf_counter()
        size = send(caller, call, request)
        taken_ms.append(1000 * (time.perf_counter() - began))
        cpu_s += server.cpu_s() - busy_s
        if sum(taken_ms) > 1000 * BUDGET_S and len(taken_ms) >= LEAST_ROUNDS:
            break
    return Timing(
        operation=call.operation,
        name=call.name,
        rounds=len(taken_ms),
        p50_ms=_percentile(taken_ms, 50),
        p95_ms=_percentile(taken_ms, 95),
        most_ms=round(max(taken_ms), 1),
        cpu_ms=round(1000 * cpu_s / len(taken_ms), 1),
        answer_bytes=size,
    )


def send(caller: Caller, call: Call, request: Request) -> int:
    """Make a call and read its answer to the end (of a stream of events, the first one).

    Returns the bytes of the answer; raises CallFailed.
    """
    with caller.http.stream(request.method, request.path, **request.options) as answer:
        if answer.is_error:
            said = answer.read().decode(errors="replace")
            raise CallFailed(f"{call.operation} ({call.name}): {answer.status_code} {said}")
        size = 0
        for part in answer.iter_bytes():
            size += len(part)
            if _is_stream_of_events(answer):
                break
        return size


def crowd(
    name: str,
    calls: list[Call],
    callers: list[Caller],
    *,
    for_s: float,
) -> Crowd:
    """All callers at once, each with the calls in turn; raises CallFailed."""
    taken_ms: list[float] = []
    failures: list[Exception] = []
    ends_at = time.perf_counter() + for_s

    def run(caller: Caller, first: int) -> None:
        turn = cycle(calls[first:] + calls[:first])
        try:
            while (began := time.perf_counter()) < ends_at:
                call = next(turn)
                send(caller, call, call.make(caller))
                taken_ms.append(1000 * (time.perf_counter() - began))
        except (CallFailed, httpx.HTTPError) as failure:
            failures.append(failure)

    began = time.perf_counter()
    _run_all([_bound(run, caller, place % len(calls)) for place, caller in enumerate(callers)])
    took_s = time.perf_counter() - began
    if failures:
        raise failures[0]
    return Crowd(
        name=name,
        callers=len(callers),
        calls_per_s=round(len(taken_ms) / took_s, 1),
        p50_ms=_percentile(taken_ms, 50),
        p95_ms=_percentile(taken_ms, 95),
    )


def _bound(run: Callable[[Caller, int], None], caller: Caller, first: int) -> Callable[[], None]:
    return lambda: run(caller, first)


def _run_all(works: list[Callable[[], None]]) -> None:
    threads = [threading.Thread(target=work) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _is_stream_of_events(answer: httpx.Response) -> bool:
    return answer.headers.get("content-type", "").startswith("text/event-stream")


def _percentile(values: list[float], percent: int) -> float:
    return round(float(np.percentile(values, percent)), 1)
