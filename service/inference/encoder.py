"""The model of this process: loaded once, in the model thread, with a state that others can ask."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from enum import StrEnum

from models.errors import ModelError
from models.interface import MusicTextEncoder
from service.errors import Unavailable
from service.inference.thread import ModelThread, Urgency

logger = logging.getLogger(__name__)

_SEE_LOG = "the log of its process says why"


class EncoderState(StrEnum):
    """idle -> loading -> ready | failed."""

    IDLE = "idle"
    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class EncoderHandle:
    """A bundle that loads at first need (or at `start`), without making anyone wait for it."""

    def __init__(self, load: Callable[[], MusicTextEncoder], thread: ModelThread) -> None:
        self._load = load
        self._thread = thread
        self._lock = threading.Lock()
        self._loading: Future[MusicTextEncoder] | None = None

    @property
    def state(self) -> EncoderState:
        loading = self._loading
        if loading is None:
            return EncoderState.IDLE
        if not loading.done():
            return EncoderState.LOADING
        failed = loading.cancelled() or loading.exception() is not None
        return EncoderState.FAILED if failed else EncoderState.READY

    @property
    def failure(self) -> str | None:
        """Why it could not be loaded, in words for whoever runs the service; None otherwise."""
        if self.state is not EncoderState.FAILED or self._loading is None:
            return None
        error = None if self._loading.cancelled() else self._loading.exception()
        return str(error) if isinstance(error, ModelError) else _SEE_LOG

    def start(self) -> Future[MusicTextEncoder]:
        """Begin to load, once; the future is the one load's, whoever asks."""
        with self._lock:
            if self._loading is None:
                self._loading = self._thread.submit(Urgency.LOAD, self._load_and_log)
            return self._loading

    def get(self) -> MusicTextEncoder:
        """The model if it is ready; raises Unavailable at once otherwise (and begins to load)."""
        loading = self.start()
        if not loading.done():
            raise Unavailable("The model is loading; try again shortly.")
        if loading.cancelled() or loading.exception() is not None:
            raise Unavailable("The model could not be loaded; the log of the service says why.")
        return loading.result()

    def wait(self, timeout_s: float | None = None) -> MusicTextEncoder:
        """The model, waiting for it; raises what loading raised, or TimeoutError."""
        return self.start().result(timeout_s)

    def _load_and_log(self) -> MusicTextEncoder:
        try:
            encoder = self._load()
        except BaseException:
            logger.exception("the model could not be loaded")
            raise
        logger.info("model %s (%s) is ready", encoder.name, encoder.model_id)
        return encoder
