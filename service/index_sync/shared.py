"""One index that all processes share, kept equal to SQL by whichever of them holds a lock.

Each process polls; the one that gets the lock (an advisory one of PostgreSQL, which ends with its
connection) replays the changes, the others only search. Replaying reads vectors on the very
connection that holds the lock, so that a process that lost it fails before it writes. What it had
already sent may still land late, over a newer state: search reads every hit from SQL, so this
shows nothing wrong, and the holder compares counts with SQL every few minutes and repairs.

Legend: Q queries, K hits a query, E embedding width.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from indexer.base import Ids, VectorIndex, Vectors
from indexer.errors import EngineUnavailable, IndexerError
from service.database.engine import (
    Database,
    LockSpace,
    lock_until_commit,
    try_lock_until_commit,
)
from service.database.tables import CLIP_BITS
from service.errors import Unavailable
from service.index_sync.changes import latest_seq
from service.index_sync.projection import (
    Hits,
    ProjectionState,
    Verification,
    hits_of,
    verification_of,
)
from service.index_sync.twin import Reports, Twin
from service.inference.encoder import EncoderHandle

logger = logging.getLogger(__name__)


class SharedIndex(VectorIndex, Protocol):
    """A VectorIndex outside this process."""

    def ids_between(self, ranges: Sequence[tuple[int, int]]) -> Ids:
        """All ids that lie in one of these ranges (first, stop)."""
        ...

    def mark_applied(self, seq: int) -> None:
        """Say which change the index is the state of."""
        ...

    def close(self) -> None: ...


OpenIndex = Callable[[str, str, int], SharedIndex]
"""(kind, model_id, dim) -> the index of this kind; raises EngineUnavailable."""


class SharedTwin(Twin):
    """Both indexes of one model outside this process; change them under the lock only."""

    tracks: SharedIndex
    clips: SharedIndex

    def repair(self, session: Session, reports: Reports) -> int:
        changed = super().repair(session, reports)
        # After a restored backup the index is ahead, and would skip the changes to come.
        for index in (self.tracks, self.clips):
            index.mark_applied(latest_seq(session))
        return changed

    def close(self) -> None:
        self.tracks.close()
        self.clips.close()

    def _clip_ids(self, pks: Sequence[int]) -> Ids:
        return self.clips.ids_between([(pk << CLIP_BITS, (pk + 1) << CLIP_BITS) for pk in pks])


class SharedProjection:
    """What Projection offers, over an index that all processes share."""

    def __init__(
        self,
        database: Database,
        encoder: EncoderHandle,
        open_index: OpenIndex,
        *,
        engine: str,
        poll_s: float = 1.0,
        check_every_s: float = 300.0,
    ) -> None:
        if database.is_sqlite:
            raise ValueError("a shared index needs PostgreSQL, whose locks all machines see")
        self._database = database
        self._encoder = encoder
        self._open_index = open_index
        self._engine = engine
        self._poll_s = poll_s
        self._check_every_s = check_every_s
        self._twin: SharedTwin | None = None
        self._is_open = False  # False again when the engine failed since
        self._opened = threading.Event()  # ready, or never going to be
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._check_at = 0.0

    # --- searching ------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        return self._twin is not None

    @property
    def applied_seq(self) -> int:
        """The last change that the index holds; raises Unavailable."""
        with self._failures_said():
            return self._ready().applied_seq

    @property
    def approximate(self) -> bool:
        return True

    def search_tracks(self, query: Vectors, k: int, among: Ids | None = None) -> Hits:
        """The best tracks, or the best among these, for a query [E]; raises Unavailable.

        Ids are track numbers.
        """
        with self._failures_said():
            return hits_of(self._ready().tracks, query, k, among)

    def search_clips(self, query: Vectors, k: int, among: Ids | None = None) -> Hits:
        """The same for clips, whose ids are `pk << 20 | position`."""
        with self._failures_said():
            return hits_of(self._ready().clips, query, k, among)

    def state(self) -> ProjectionState:
        """Raises Unavailable."""
        twin = self._ready()
        with self._database.read() as session:
            latest = latest_seq(session)
        with self._failures_said():
            return ProjectionState(
                model_id=twin.model_id,
                tracks=twin.tracks.count,
                clips=twin.clips.count,
                applied_seq=twin.applied_seq,
                latest_seq=latest,
                engine=self._engine,
                approximate=self.approximate,
                snapshot_age_s=None,
            )

    # --- keeping up -----------------------------------------------------------------------------

    def open(self) -> None:
        """Connect, making what does not exist yet; raises EngineUnavailable, ValueError."""
        encoder = self._encoder.wait()
        previous = self._twin
        self._is_open = True
        self._twin = SharedTwin(
            self._open_index("tracks", encoder.model_id, encoder.embed_dim),
            self._open_index("clips", encoder.model_id, encoder.embed_dim),
        )
        if previous is None:
            self._check_at = 0.0
            logger.info("connected to the index in %s", self._engine)
        self._opened.set()

    def catch_up(self) -> int:
        """Replay new changes unless another process does; returns their number.

        Raises Unavailable, EngineUnavailable.
        """
        twin = self._ready()
        with self._database.read() as session:
            if not try_lock_until_commit(session, LockSpace.SHARED_INDEX, _lock_key(twin.model_id)):
                return 0
            return twin.catch_up(session)

    def check(self) -> bool:
        """Compare the numbers of vectors with SQL, and repair where they differ; True if so.

        Does nothing while another process holds the lock. Raises Unavailable, EngineUnavailable.
        """
        twin = self._ready()
        with self._database.read() as holder:
            if not try_lock_until_commit(holder, LockSpace.SHARED_INDEX, _lock_key(twin.model_id)):
                return False
            twin.catch_up(holder)
            # A second session: one moment to compare in, which must begin after the lock is ours.
            with self._database.snapshot() as session:
                twin.catch_up(session)
                if twin.matches(session):
                    return False
                logger.warning("the index does not fit the database: comparing each vector")
                repaired = twin.repair(session, twin.verify(session))
        logger.warning("repaired %d vectors of the index", repaired)
        return True

    def rebuild(self) -> None:
        """Write again what differs from SQL: the engine keeps its own files in order."""
        self.repair()

    def verify(self) -> Verification:
        """Compare the indexes with SQL, vector by vector; raises Unavailable."""
        return self._compare(repairing=False)

    def repair(self) -> Verification:
        """Make the indexes equal to SQL and tell what was wrong; raises Unavailable."""
        return self._compare(repairing=True)

    # --- the background thread ------------------------------------------------------------------

    def start(self) -> None:
        """Open and keep up in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; safe without `start`."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        if self._twin is not None:
            self._twin.close()

    def wake(self) -> None:
        """Catch up now instead of at the next poll."""
        self._wake.set()

    def wait_until_ready(self, timeout_s: float | None = None) -> None:
        """Wait for the indexes; raises Unavailable when they failed to open or took too long."""
        self._opened.wait(timeout_s)
        self._ready()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.clear()
            try:
                if not self._is_open:
                    self.open()
                self._keep_up()
            except (SQLAlchemyError, IndexerError):
                # Opened again: the engine may have come back without its collections.
                self._is_open = False
                logger.exception("the index could not be kept up; trying again")
            except Exception:
                logger.exception("the index could not be opened")
                self._opened.set()
                return
            self._wake.wait(self._poll_s)
        self._opened.set()

    def _keep_up(self) -> None:
        if time.monotonic() >= self._check_at:
            self.check()
            self._check_at = time.monotonic() + self._check_every_s
        self.catch_up()

    # --- parts ----------------------------------------------------------------------------------

    def _ready(self) -> SharedTwin:
        twin = self._twin
        if twin is None:
            raise Unavailable("The index is being prepared; try again shortly.")
        return twin

    @contextmanager
    def _failures_said(self) -> Iterator[None]:
        """503 where the engine fails; and open it again, for it may have come back unprepared."""
        try:
            yield
        except EngineUnavailable as error:
            self._is_open = False
            raise Unavailable("The index does not answer; try again shortly.") from error

    def _compare(self, *, repairing: bool) -> Verification:
        twin = self._ready()
        with self._failures_said(), self._database.read() as holder:
            lock_until_commit(holder, LockSpace.SHARED_INDEX, _lock_key(twin.model_id))
            twin.catch_up(holder)
            with self._database.snapshot() as session:
                twin.catch_up(session)
                reports = twin.verify(session)
                repaired = 0
                if repairing and not reports.is_equal:
                    repaired = twin.repair(session, reports)
                    logger.warning("repaired %d vectors of the index", repaired)
        return verification_of(reports, repaired)


def _lock_key(model_id: str) -> int:
    digest = hashlib.sha256(model_id.encode()).digest()
    return int.from_bytes(digest[:4], "big", signed=True)
