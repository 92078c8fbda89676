"""Keeping a claimed job's lease alive while its work runs in another thread."""

from __future__ import annotations

import logging
import threading
import time
from types import TracebackType
from typing import Self

from sqlalchemy.exc import SQLAlchemyError

from service.jobs.queue import HeldJob, JobQueue, Lease

logger = logging.getLogger(__name__)

_TICK_S = 1.0


class LeaseKeeper:
    """Beats in a thread of its own: every third of the lease, sooner when there is progress."""

    def __init__(self, queue: JobQueue, claim: HeldJob) -> None:
        self._queue = queue
        self._claim = claim
        self._progress = 0.0
        self._lost = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="heartbeat", daemon=True)

    @property
    def lost(self) -> bool:
        """Whether the job was cancelled, taken over, or could not be renewed in time."""
        return self._lost.is_set()

    def note(self, progress: float) -> None:
        """Remember the progress (0 to 1) for the next beat."""
        self._progress = progress

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _beat(self) -> None:
        interval_s = self._queue.lease_s / 3
        beaten_at = time.monotonic()
        told = 0.0
        while not self._ended.wait(min(_TICK_S, interval_s)):
            progress = self._progress
            silent_s = time.monotonic() - beaten_at
            if progress == told and silent_s < interval_s:
                continue
            try:
                lease = self._queue.heartbeat(self._claim, progress)
            except SQLAlchemyError:
                logger.warning("job %s: no heartbeat, the database failed", self._claim.job_id)
                if silent_s > self._queue.lease_s:
                    lease = Lease.LOST
                else:
                    continue
            if lease is Lease.LOST:
                self._lost.set()
                return
            beaten_at, told = time.monotonic(), progress
