"""One thread, by urgency, and it always ends."""

from __future__ import annotations

import threading

import pytest

from service.errors import Unavailable
from service.inference.thread import ModelThread, Urgency


def test_urgent_work_overtakes_and_equals_keep_their_order() -> None:
    thread = ModelThread()
    gate = threading.Event()
    order: list[str] = []
    blocker = thread.submit(Urgency.TEXT, gate.wait)
    futures = [
        thread.submit(urgency, lambda name=name: order.append(name))
        for urgency, name in [
            (Urgency.JOB_CLIPS, "job 1"),
            (Urgency.JOB_CLIPS, "job 2"),
            (Urgency.TEXT, "text"),
            (Urgency.QUERY_CLIPS, "query"),
        ]
    ]
    gate.set()
    for future in [blocker, *futures]:
        future.result(10)
    assert order == ["text", "query", "job 1", "job 2"]
    thread.close()


def test_everything_runs_in_one_thread_of_its_own() -> None:
    thread = ModelThread()
    idents = {thread.submit(Urgency.TEXT, threading.get_ident).result(10) for _ in range(5)}
    assert len(idents) == 1
    assert idents != {threading.get_ident()}
    thread.close()


def test_an_error_belongs_to_its_caller_and_the_thread_lives_on() -> None:
    thread = ModelThread()

    def fail() -> None:
        raise MemoryError("too big")

    with pytest.raises(MemoryError):
        thread.submit(Urgency.TEXT, fail).result(10)
    assert thread.submit(Urgency.TEXT, lambda: 1).result(10) == 1
    thread.close()


def test_cancelled_work_never_runs() -> None:
    thread = ModelThread()
    gate = threading.Event()
    thread.submit(Urgency.TEXT, gate.wait)
    ran: list[int] = []
    future = thread.submit(Urgency.TEXT, lambda: ran.append(1))
    assert future.cancel()
    gate.set()
    thread.close()
    assert ran == []


def test_close_finishes_what_was_taken_and_refuses_the_rest() -> None:
    thread = ModelThread()
    gate = threading.Event()
    thread.submit(Urgency.TEXT, gate.wait)
    waiting = thread.submit(Urgency.JOB_CLIPS, lambda: "done")
    closing = threading.Thread(target=thread.close)
    closing.start()
    gate.set()
    closing.join(10)
    assert waiting.result(0) == "done"
    with pytest.raises(Unavailable):
        thread.submit(Urgency.TEXT, lambda: 1)
    thread.close()
