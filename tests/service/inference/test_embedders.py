"""Texts are batched, cached, bounded; each ends once; nothing blocks the event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import numpy as np
import pytest

from service.errors import InvalidRequest, Overloaded, TextTooLong, Unavailable
from service.inference.batcher import ClipEmbedder, TextEmbedder
from service.inference.encoder import EncoderHandle, EncoderState
from service.inference.thread import ModelThread
from tests.support.encoder import EMBED_DIM, POISON, FakeEncoder, tone


class Rig:
    """A loaded fake with its thread; `close` opens its gate."""

    def __init__(self) -> None:
        self.fake = FakeEncoder(clip_s=0.1)
        self.thread = ModelThread()
        self.encoder = EncoderHandle(lambda: self.fake, self.thread)
        self.encoder.wait(10)

    def texts(self, **options: Any) -> TextEmbedder:
        return TextEmbedder(self.encoder, self.thread, **options)

    def clips(self, **options: Any) -> ClipEmbedder:
        return ClipEmbedder(self.encoder, self.thread, **options)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.fake.gate.set()
    made.thread.close()


def run(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(main(), 20))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.001)


def test_texts_come_back_in_order(rig: Rig) -> None:
    words = [f"word{n}" for n in range(10)]

    async def main() -> None:
        vectors = await rig.texts(batch_size=3).embed(words)
        assert vectors.dtype == np.float32
        assert vectors == pytest.approx(rig.fake.embed_text(words))

    run(main)


def test_callers_at_once_share_batches(rig: Rig) -> None:
    texts = rig.texts(batch_size=8)

    async def main() -> None:
        rig.fake.gate.clear()
        first = asyncio.create_task(texts.embed(["first"]))
        await until(lambda: rig.fake.entered == 1)  # it is in the model now, held up
        others = [asyncio.create_task(texts.embed([f"t{n}"])) for n in range(16)]
        await until(lambda: texts.waiting == 16)
        rig.fake.gate.set()
        await asyncio.gather(first, *others)
        assert rig.fake.text_calls == [1, 8, 8]

    run(main)


def test_known_texts_do_not_reach_the_model(rig: Rig) -> None:
    texts = rig.texts(cache_size=2)

    async def main() -> None:
        first = await texts.embed(["a", "b", "a"])
        again = await texts.embed(["b", "a"])
        assert rig.fake.text_calls == [2]
        assert again == pytest.approx(first[[1, 0]])
        await texts.embed(["c"])  # pushes out "b", used longest ago
        await texts.embed(["a", "c"])
        assert rig.fake.text_calls == [2, 1]
        await texts.embed(["b"])
        assert rig.fake.text_calls == [2, 1, 1]

    run(main)


def test_a_caller_cannot_spoil_the_cache(rig: Rig) -> None:
    texts = rig.texts()
    kept = texts.embed_blocking(["a"]).copy()
    texts.embed_blocking(["a"])[:] = 0
    assert texts.embed_blocking(["a"]) == pytest.approx(kept)


def test_too_many_waiting_texts_are_refused_at_once(rig: Rig) -> None:
    texts = rig.texts(max_waiting=4)

    async def main() -> None:
        rig.fake.gate.clear()
        held = asyncio.create_task(texts.embed(["held"]))
        await until(lambda: rig.fake.entered == 1)
        waiting = asyncio.create_task(texts.embed(["1", "2", "3", "4"]))
        await until(lambda: texts.waiting == 4)
        began = time.monotonic()
        with pytest.raises(Overloaded):
            await texts.embed(["5"])
        assert time.monotonic() - began < 1
        rig.fake.gate.set()
        await asyncio.gather(held, waiting)
        assert len(await texts.embed([f"n{n}" for n in range(10)])) == 10, "nobody else waits"

    run(main)


def test_a_failing_text_fails_alone(rig: Rig) -> None:
    texts = rig.texts(batch_size=8)

    async def main() -> None:
        rig.fake.gate.clear()
        held = asyncio.create_task(texts.embed(["held"]))
        await until(lambda: rig.fake.entered == 1)
        good = [asyncio.create_task(texts.embed([f"good{n}"])) for n in range(3)]
        bad = asyncio.create_task(texts.embed([POISON]))
        long = asyncio.create_task(texts.embed(["w " * 100]))
        await until(lambda: texts.waiting == 5)
        rig.fake.gate.set()
        await asyncio.gather(held, *good)
        with pytest.raises(RuntimeError, match="poisoned"):
            await bad
        with pytest.raises(TextTooLong) as caught:
            await long
        assert caught.value.details == {"tokens": 100, "max_tokens": 64}

    run(main)


def test_callers_that_hung_up_are_skipped(rig: Rig) -> None:
    texts = rig.texts()

    async def main() -> None:
        rig.fake.gate.clear()
        held = asyncio.create_task(texts.embed(["held"]))
        await until(lambda: rig.fake.entered == 1)
        gone = asyncio.create_task(texts.embed(["gone"]))
        stays = asyncio.create_task(texts.embed(["stays"]))
        await until(lambda: texts.waiting == 2)
        gone.cancel()
        with pytest.raises(asyncio.CancelledError):
            await gone
        rig.fake.gate.set()
        await asyncio.gather(held, stays)
        assert rig.fake.text_calls == [1, 1], "the cancelled one was not computed"

    run(main)


def test_the_event_loop_runs_while_the_model_works(rig: Rig) -> None:
    texts, clips = rig.texts(), rig.clips()

    async def main() -> None:
        rig.fake.gate.clear()
        tasks = [
            asyncio.create_task(texts.embed(["a"])),
            asyncio.create_task(clips.embed_query(np.zeros((2, 2400), np.float32))),
        ]
        for _ in range(20):
            began = time.monotonic()
            await asyncio.sleep(0.001)
            assert time.monotonic() - began < 0.5
        rig.fake.gate.set()
        await asyncio.gather(*tasks)

    run(main)


def test_texts_overtake_the_batches_of_jobs(rig: Rig) -> None:
    texts, clips = rig.texts(), rig.clips()
    rig.fake.clip_delay_s = 0.05
    stop = threading.Event()

    def job() -> None:
        while not stop.is_set():
            clips.embed_job_batch(np.zeros((1, 2400), np.float32))

    jobs = [threading.Thread(target=job) for _ in range(4)]
    for thread in jobs:
        thread.start()

    async def main() -> None:
        for n in range(5):
            before = len(rig.fake.clip_calls)
            await texts.embed([f"t{n}"])
            assert len(rig.fake.clip_calls) - before <= 2, "one batch at most goes before a text"

    run(main)
    stop.set()
    for thread in jobs:
        thread.join()


def test_query_clips_are_batched_and_bounded(rig: Rig) -> None:
    clips = rig.clips(batch_size=2, max_waiting=2)
    samples = np.stack([tone(f, 0.1) for f in (100, 1000, 5000, 200, 300)])

    async def main() -> None:
        vectors = await clips.embed_query(samples)
        assert vectors.shape == (5, EMBED_DIM)
        assert rig.fake.clip_calls == [2, 2, 1]
        rig.fake.gate.clear()
        waiting = [asyncio.create_task(clips.embed_query(samples[:1])) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Overloaded):
            await clips.embed_query(samples[:1])
        rig.fake.gate.set()
        await asyncio.gather(*waiting)
        await clips.embed_query(samples[:1])

    run(main)


def test_unfit_clips_are_the_callers_fault(rig: Rig) -> None:
    with pytest.raises(InvalidRequest, match="no numbers"):
        rig.clips().embed_job_batch(np.full((1, 2400), np.nan, np.float32))


def test_closing_leaves_nobody_waiting(rig: Rig) -> None:
    texts = rig.texts(batch_size=1)
    rig.fake.gate.clear()
    outcomes: list[str] = []

    def ask(text: str) -> None:
        try:
            texts.embed_blocking([text])
            outcomes.append("done")
        except Unavailable:
            outcomes.append("refused")

    callers = [threading.Thread(target=ask, args=(f"t{n}",)) for n in range(4)]
    for caller in callers:
        caller.start()
    while texts.waiting < 3:
        time.sleep(0.001)
    closing = threading.Thread(target=rig.thread.close)
    closing.start()
    time.sleep(0.05)
    rig.fake.gate.set()
    for thread in (*callers, closing):
        thread.join(10)
        assert not thread.is_alive()
    assert len(outcomes) == 4


def test_the_model_loads_in_the_background_and_only_once() -> None:
    gate, loads = threading.Event(), []

    def load() -> FakeEncoder:
        loads.append(1)
        gate.wait(10)
        return FakeEncoder()

    thread = ModelThread()
    handle = EncoderHandle(load, thread)
    assert handle.state is EncoderState.IDLE
    with pytest.raises(Unavailable, match="loading"):
        handle.get()
    assert handle.state is EncoderState.LOADING
    gate.set()
    assert handle.wait(10) is handle.get()
    assert handle.state is EncoderState.READY
    assert loads == [1]
    thread.close()


def test_a_model_that_does_not_load_refuses_calls_and_says_nothing_of_why() -> None:
    def load() -> FakeEncoder:
        raise FileNotFoundError("/secret/path")

    thread = ModelThread()
    handle = EncoderHandle(load, thread)
    with pytest.raises(FileNotFoundError):
        handle.wait(10)
    assert handle.state is EncoderState.FAILED
    with pytest.raises(Unavailable) as caught:
        handle.get()
    assert "secret" not in str(caught.value)
    thread.close()
