"""The worker: claims jobs and runs them, one at a time, until it is told to stop.

Any number may run at once, as threads of `muquery serve` or as processes of their own; what keeps
them apart is the claim in SQL alone.
"""

from __future__ import annotations

import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.audio.errors import DecodeError
from service.blobs.store import BlobMissing
from service.errors import MuqueryError
from service.inference.encoder import EncoderHandle, EncoderState
from service.ingest.embed import EmbedTrack
from service.jobs.queue import Claim, GaveWay, HeldJob, JobQueue, LeaseLost, LibraryClaim
from service.worker.lease import LeaseKeeper

logger = logging.getLogger(__name__)

_AFTER_ERROR_S = 5.0
_BACKFILL_EVERY_S = 5.0
_NO_MODEL, _ENDED = "ended: the model could not be loaded", "ended"


class _Stopping(Exception):
    """The worker was asked to stop in the middle of a job."""


class LibraryJob(Protocol):
    """What does the jobs of one kind that are about the whole library."""

    def want_if_outdated(self, model_id: str) -> bool:
        """Queue such a job if there is anything to do; whether there is."""
        ...

    def run(self, claim: LibraryClaim, check: Callable[[float], None]) -> None:
        """Do the job and end it; raises GaveWay where others should go first, LeaseLost."""
        ...


@dataclass(frozen=True)
class Desk:
    """What the jobs of one model are done with."""

    encoder: EncoderHandle
    embed: EmbedTrack
    library_jobs: Mapping[str, LibraryJob] = field(default_factory=dict)
    on_published: Callable[[], None] = lambda: None

    @property
    def model_id(self) -> str:
        """Waits for the model; raises what loading it raised."""
        return self.encoder.wait().model_id


class Worker:
    """Runs jobs for the models that its process has loaded.

    `desks()` gives them in order: a job of a later one is taken only while the earlier ones have
    nothing to do.
    """

    def __init__(
        self,
        queue: JobQueue,
        desks: Callable[[], Sequence[Desk]],
        *,
        poll_s: float = 1.0,
        owner: str | None = None,
    ) -> None:
        self._queue = queue
        self._desks = desks
        self._poll_s = poll_s
        self.owner = owner or _owner_name()
        self._backfilled: dict[str, float] = {}
        self._failure: str | None = None
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self._run_logged, name="worker", daemon=True)
        self._thread.start()

    def stop(self, timeout_s: float | None = None) -> bool:
        """Ask to stop and wait; a running job is given back after its current batch.

        True when the thread (if any) has ended.
        """
        self.ask_to_stop()
        if self._thread is None:
            return True
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """Ask without waiting; safe in a signal handler."""
        self._stop.set()
        self._wake.set()

    @property
    def failure(self) -> str | None:
        """Why the worker's thread ended although nobody asked it to; None while it works."""
        return self._failure

    @property
    def is_alive(self) -> bool:
        """Whether the worker's thread runs; False before `start` and after a fatal error."""
        return self._thread is not None and self._thread.is_alive()

    def wake(self) -> None:
        """Look for jobs now instead of at the next poll."""
        self._wake.set()

    def run(self) -> None:
        """Work until asked to stop; raises what loading the model raised."""
        _ = [desk.model_id for desk in self._desks()]
        while not self._stop.is_set():
            self._wake.clear()
            try:
                busy = any(self._work_at(desk) for desk in self._desks())
            except Exception:
                logger.exception("the worker could not look for jobs; trying again shortly")
                self._stop.wait(_AFTER_ERROR_S)
                continue
            if not busy:
                self._wake.wait(self._poll_s)

    def _work_at(self, desk: Desk) -> bool:
        """Do one job of this desk; queue what its model has not embedded where it has none."""
        model_id = desk.model_id
        if model_id not in self._backfilled:
            self._backfill(desk, model_id)
        if self._take_one(desk, model_id):
            return True
        # Again and again: while the model changes, uploads name the one that was in use.
        if time.monotonic() - self._backfilled[model_id] >= _BACKFILL_EVERY_S:
            return self._backfill(desk, model_id) > 0
        return False

    def _backfill(self, desk: Desk, model_id: str) -> int:
        """Queue what this model has not embedded yet, as after a change of model; how many."""
        queued = self._queue.enqueue_missing(model_id)
        if queued:
            logger.info("queued %d tracks that model %s has not embedded yet", queued, model_id)
        if model_id not in self._backfilled:
            for kind, job in desk.library_jobs.items():
                if job.want_if_outdated(model_id):
                    logger.info("queued a job of kind %s for the whole library", kind)
        self._backfilled[model_id] = time.monotonic()
        return queued

    def run_once(self, model_id: str) -> bool:
        """Do one job of this model if there is one; False when the queue was empty."""
        desk = next(desk for desk in self._desks() if desk.model_id == model_id)
        return self._take_one(desk, model_id)

    def _take_one(self, desk: Desk, model_id: str) -> bool:
        claim = self._queue.claim(self.owner, model_id)
        if claim is None:
            return False
        logger.info("job %s: try %d", claim.job_id, claim.attempt)
        with LeaseKeeper(self._queue, claim) as keeper:
            self._run_claim(desk, claim, keeper)
        return True

    def _run_claim(self, desk: Desk, claim: Claim | LibraryClaim, keeper: LeaseKeeper) -> None:
        def check(progress: float) -> None:
            keeper.note(progress)
            if keeper.lost:
                raise LeaseLost
            if self._stop.is_set():
                raise _Stopping

        try:
            if isinstance(claim, Claim):
                seq = desk.embed.run(claim, check)
                desk.on_published()
                logger.info("job %s: done, change %d", claim.job_id, seq)
            else:
                desk.library_jobs[claim.kind].run(claim, check)
                logger.info("job %s (%s): done", claim.job_id, claim.kind)
        except LeaseLost:
            logger.info("job %s: cancelled or taken over; nothing written", claim.job_id)
        except (_Stopping, GaveWay):
            self._queue.release(claim)
            logger.info("job %s: given back", claim.job_id)
        except Exception as error:  # noqa: BLE001 - every failure of a job ends as its state
            self._fail(claim, error)

    def _fail(self, claim: HeldJob, error: Exception) -> None:
        if isinstance(error, DecodeError):
            retryable = error.is_transient
            code, message = error.code, error.message
        elif isinstance(error, MuqueryError):
            retryable = error.status >= 500
            code, message = error.code, error.message
        elif isinstance(error, BlobMissing):
            code, message, retryable = "file_missing", "The stored file is gone.", False
        else:
            logger.error("job %s: failed", claim.job_id, exc_info=error)
            code, message, retryable = "internal_error", "Something went wrong on our side.", True
        if self._queue.fail(claim, code, message, retryable=retryable):
            logger.info("job %s: %s", claim.job_id, code)

    def _run_logged(self) -> None:
        try:
            self.run()
        except Exception:
            no_model = self._desks()[0].encoder.state is EncoderState.FAILED
            self._failure = _NO_MODEL if no_model else _ENDED
            logger.exception("the worker ended")


def _owner_name() -> str:
    """Unique per worker: the lease's fence relies on it."""
    return f"{socket.gethostname()[:32]}:{os.getpid()}:{secrets.token_hex(6)}"
