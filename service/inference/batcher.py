"""Texts and clips through the model: batched, cached, bounded.

Legend: N texts or clips, T samples, E embedding width.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from models.interface import MusicTextEncoder, Vectors
from service.errors import Overloaded
from service.inference.encoder import EncoderHandle
from service.inference.input_errors import as_service_error
from service.inference.thread import ModelThread, Urgency

_TextFuture = Future[Vectors]


@dataclass(frozen=True, eq=False)
class _Waiting:
    text: str
    future: _TextFuture = field(default_factory=Future)


class TextEmbedder:
    """Collects texts that wait while the model is busy and runs them as one batch.

    At most `max_waiting` texts wait; more are refused at once with Overloaded (an empty queue takes
    any one call, so that a large call is possible at all). Each text ends exactly once: with its
    vector, with its own error, or skipped because its caller hung up.
    """

    def __init__(
        self,
        encoder: EncoderHandle,
        thread: ModelThread,
        *,
        max_waiting: int = 256,
        batch_size: int = 32,
        cache_size: int = 4096,
    ) -> None:
        self._encoder = encoder
        self._thread = thread
        self._max_waiting = max_waiting
        self._batch_size = batch_size
        self._cache = _VectorCache(cache_size)
        self._lock = threading.Lock()
        self._waiting: deque[_Waiting] = deque()
        self._draining = False

    @property
    def waiting(self) -> int:
        """Texts that wait for the model now."""
        return len(self._waiting)

    async def embed(self, texts: Sequence[str]) -> Vectors:
        """[N, E], unit norm, without blocking the loop; raises Unavailable, Overloaded and what
        the model raises for one of these texts."""
        futures = self._submit(texts)
        try:
            # All of them, errors included: an error nobody fetched would be logged as lost.
            results = await asyncio.gather(
                *map(asyncio.wrap_future, futures), return_exceptions=True
            )
        except asyncio.CancelledError:
            for future in futures:
                future.cancel()
            raise
        return _stacked(results)

    def embed_blocking(self, texts: Sequence[str]) -> Vectors:
        """The same for threads; never call it from an event loop or the model thread."""
        return np.stack([future.result() for future in self._submit(texts)])

    def _submit(self, texts: Sequence[str]) -> list[_TextFuture]:
        self._encoder.get()
        futures: list[_TextFuture] = []
        missed: list[_Waiting] = []
        for text in texts:
            cached = self._cache.find(text)
            if cached is None:
                missed.append(_Waiting(text))
                futures.append(missed[-1].future)
            else:
                futures.append(_done(cached))
        if missed:
            self._enqueue(missed)
        return futures

    def _enqueue(self, items: Sequence[_Waiting]) -> None:
        with self._lock:
            if self._waiting and len(self._waiting) + len(items) > self._max_waiting:
                raise Overloaded
            if not self._draining:
                self._thread.submit(Urgency.TEXT, self._drain)
                self._draining = True
            self._waiting.extend(items)

    def _drain(self) -> None:
        """One batch, in the model thread; comes back later for the rest, so that others get in."""
        batch: list[_Waiting] = []
        with self._lock:
            while self._waiting and len(batch) < self._batch_size:
                item = self._waiting.popleft()
                if item.future.set_running_or_notify_cancel():
                    batch.append(item)
        try:
            if batch:
                self._run(batch)
        finally:
            self._continue_or_stop()

    def _continue_or_stop(self) -> None:
        with self._lock:
            if not self._waiting:
                self._draining = False
                return
            try:
                self._thread.submit(Urgency.TEXT, self._drain)
            except Exception as error:  # noqa: BLE001 - shutting down: nobody may wait for ever
                self._draining = False
                while self._waiting:
                    self._waiting.popleft().future.set_exception(error)

    def _run(self, batch: Sequence[_Waiting]) -> None:
        unique = list(dict.fromkeys(item.text for item in batch))
        results = self._embed_each(unique)
        for item in batch:
            result = results[item.text]
            if isinstance(result, BaseException):
                item.future.set_exception(result)
            else:
                item.future.set_result(result)

    def _embed_each(self, texts: Sequence[str]) -> dict[str, Vectors | BaseException]:
        try:
            vectors = self._encoder.get().embed_text(texts)
        except Exception as error:  # noqa: BLE001 - handed to the callers
            if len(texts) == 1:
                return {texts[0]: as_service_error(error)}
            results: dict[str, Vectors | BaseException] = {}
            for text in texts:  # one of them is at fault: each alone
                results |= self._embed_each([text])
            return results
        for text, vector in zip(texts, vectors, strict=True):
            self._cache.put(text, vector)
        return dict(zip(texts, vectors, strict=True))


class ClipEmbedder:
    """Clips through the model thread; jobs wait their turn, queries are bounded and go first."""

    def __init__(
        self,
        encoder: EncoderHandle,
        thread: ModelThread,
        *,
        batch_size: int = 8,
        max_waiting: int = 16,
    ) -> None:
        self._encoder = encoder
        self._thread = thread
        self._batch_size = batch_size
        self._max_waiting = max_waiting
        self._waiting = 0  # of queries; touched by the event loop's thread alone

    @property
    def batch_size(self) -> int:
        return self._batch_size

    def embed_job_batch(self, clips: Vectors) -> Vectors:
        """[N, T] -> [N, E] for a worker thread, behind everything that people wait for."""
        encoder = self._encoder.wait()
        run = partial(_embed_clips, encoder, clips)
        return self._thread.submit(Urgency.JOB_CLIPS, run).result()

    async def embed_query(self, clips: Vectors) -> Vectors:
        """[N, T] -> [N, E] for a request; raises Unavailable, Overloaded."""
        encoder = self._encoder.get()
        if self._waiting >= self._max_waiting:
            raise Overloaded
        self._waiting += 1
        try:
            parts = []
            for start in range(0, len(clips), self._batch_size):
                part = clips[start : start + self._batch_size]
                run = partial(_embed_clips, encoder, part)
                future = self._thread.submit(Urgency.QUERY_CLIPS, run)
                parts.append(await asyncio.wrap_future(future))
            return np.concatenate(parts)
        finally:
            self._waiting -= 1


class _VectorCache:
    """The most recently used vectors; safe between threads."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._vectors: OrderedDict[str, Vectors] = OrderedDict()

    def find(self, text: str) -> Vectors | None:
        with self._lock:
            vector = self._vectors.get(text)
            if vector is not None:
                self._vectors.move_to_end(text)
            return vector

    def put(self, text: str, vector: Vectors) -> None:
        if self._size == 0:
            return
        kept = vector.copy()  # a row of a batch would keep the whole batch in memory
        kept.flags.writeable = False
        with self._lock:
            self._vectors[text] = kept
            self._vectors.move_to_end(text)
            if len(self._vectors) > self._size:
                self._vectors.popitem(last=False)


def _embed_clips(encoder: MusicTextEncoder, clips: Vectors) -> Vectors:
    try:
        return encoder.embed_clips(clips)
    except ValueError as error:
        raise as_service_error(error) from error


def _done(vector: Vectors) -> _TextFuture:
    future: _TextFuture = Future()
    future.set_result(vector)
    return future


def _stacked(results: Sequence[Vectors | BaseException]) -> Vectors:
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return np.stack([result for result in results if not isinstance(result, BaseException)])
