"""This process's indexes: loaded, kept up to date in the background, searched, proven.

SQL is the truth. An index here may lag by a poll, never lead: whoever shows a hit reads its row
from SQL first, so that a deleted track is never shown.

Legend: Q queries, K hits a query, E embedding width.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.exc import SQLAlchemyError

from indexer.base import NO_ID, Ids, VectorIndex, Vectors
from indexer.errors import SnapshotError
from indexer.faiss_index import FaissConfig
from indexer.snapshot import read_manifest
from service.database.engine import Database
from service.errors import Unavailable
from service.index_sync.changes import latest_seq
from service.index_sync.twin import Reports, TwinIndex
from service.inference.encoder import EncoderHandle

logger = logging.getLogger(__name__)

ENGINE = "faiss"
_FOLDER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")


@dataclass(frozen=True, eq=False)
class Hits:
    """Ids and scores [K], best first; fewer than asked for means that there are no more.

    `approximate` says that better ones may have been missed.
    """

    ids: Ids
    scores: Vectors
    approximate: bool


@dataclass(frozen=True)
class ProjectionState:
    """What `GET /index` tells; `snapshot_age_s` is None where nothing was ever saved."""

    model_id: str
    tracks: int
    clips: int
    applied_seq: int
    latest_seq: int
    engine: str
    approximate: bool
    snapshot_age_s: float | None


@dataclass(frozen=True)
class Verification:
    """Whether the indexes equal SQL; counts are of tracks and clips together."""

    ok: bool
    checked: int
    missing: int
    extra: int
    different: int
    repaired: int = 0


class Projection:
    """Two indexes (tracks and clips) of the model that this process has loaded."""

    def __init__(
        self,
        database: Database,
        folder: Path,
        encoder: EncoderHandle,
        *,
        exact_below: int = 200_000,
        poll_s: float = 1.0,
        snapshot_every_s: float = 300.0,
        threads: int | None = None,
    ) -> None:
        self._database = database
        self._folder = folder
        self._encoder = encoder
        self._config = FaissConfig(exact_below=exact_below, threads=threads)
        self._poll_s = poll_s
        self._snapshot_every_s = snapshot_every_s
        self._twin: TwinIndex | None = None
        self._changing = threading.RLock()  # held by whoever changes or compares the indexes
        self._rebuilding = threading.Lock()
        self._opened = threading.Event()  # ready, or never going to be
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None
        self._rebuild_thread: threading.Thread | None = None
        self._saved_at = time.monotonic()

    # --- searching ------------------------------------------------------------------------------

    @property
    def is_ready(self) -> bool:
        return self._twin is not None

    @property
    def applied_seq(self) -> int:
        """The last change that the indexes hold; raises Unavailable before they are ready."""
        return self._ready().applied_seq

    @property
    def approximate(self) -> bool:
        """Whether a search may miss hits, because there are too many vectors to score each."""
        return self._ready().approximate

    def search_tracks(self, query: Vectors, k: int, among: Ids | None = None) -> Hits:
        """The best tracks, or the best among these, for a query [E]; raises Unavailable.

        Ids are track numbers.
        """
        return hits_of(self._ready().tracks, query, k, among)

    def search_clips(self, query: Vectors, k: int, among: Ids | None = None) -> Hits:
        """The same for clips, whose ids are `pk << 20 | position`."""
        return hits_of(self._ready().clips, query, k, among)

    def state(self) -> ProjectionState:
        """Raises Unavailable before the indexes are ready."""
        twin = self._ready()
        with self._database.read() as session:
            latest = latest_seq(session)
        return ProjectionState(
            model_id=twin.model_id,
            tracks=twin.tracks.count,
            clips=twin.clips.count,
            applied_seq=twin.applied_seq,
            latest_seq=latest,
            engine=ENGINE,
            approximate=twin.approximate,
            snapshot_age_s=_age_s(self._folder_of(twin.model_id) / "clips" / "manifest.json"),
        )

    # --- keeping up -----------------------------------------------------------------------------

    def open(self) -> None:
        """Load the snapshot or build from SQL, and catch up; raises what loading the model does."""
        encoder = self._encoder.wait()
        with self._changing, self._database.snapshot() as session:
            twin = self._load(encoder.model_id, encoder.embed_dim)
            if twin is not None:
                twin.catch_up(session)
                if not twin.matches(session):
                    logger.warning("the saved index does not fit the database: building it again")
                    twin = None
            if twin is None:
                twin = TwinIndex.build(session, encoder.model_id, encoder.embed_dim, self._config)
            self._twin = twin
        self._opened.set()
        logger.info("the index is ready: %d tracks, %d clips", twin.tracks.count, twin.clips.count)

    def catch_up(self) -> int:
        """Replay new changes now; returns their number. Raises Unavailable."""
        with self._changing, self._database.read() as session:
            return self._ready().catch_up(session)

    def rebuild(self) -> None:
        """Build both indexes again from SQL; the present ones are searched, and kept up, meanwhile.

        Raises Unavailable before there are present ones.
        """
        with self._rebuilding:
            present = self._ready()
            with self._database.snapshot() as session:
                twin = TwinIndex.build(session, present.model_id, present.tracks.dim, self._config)
            with self._changing, self._database.read() as session:
                twin.catch_up(session)
                self._twin = twin
        self.save(always=True)  # the saved one may be why this was asked for
        logger.info("the index was rebuilt: %d tracks", twin.tracks.count)

    def verify(self) -> Verification:
        """Compare the indexes with SQL, vector by vector; raises Unavailable."""
        return self._compare(repairing=False)

    def repair(self) -> Verification:
        """Make the indexes equal to SQL and tell what was wrong; raises Unavailable, OSError."""
        found = self._compare(repairing=True)
        if found.repaired:
            self.save(always=True)
        return found

    def save(self, *, always: bool = False) -> bool:
        """Write a snapshot; False where the saved one is as new, unless `always`.

        Raises OSError, Unavailable.
        """
        twin = self._ready()
        folder = self._folder_of(twin.model_id)
        self._saved_at = time.monotonic()
        if not always and _saved_seq(folder) == twin.applied_seq:
            return False
        twin.save(folder)
        return True

    # --- the background thread ------------------------------------------------------------------

    def start(self) -> None:
        """Open and keep up in a thread of its own."""
        self._thread = threading.Thread(target=self._run, name="index", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and save what changed; safe without `start`."""
        self._stop.set()
        self._wake.set()
        for thread in (self._thread, self._rebuild_thread):
            if thread is not None:
                thread.join()
        if self.is_ready and self._thread is not None:
            self._save_logged()

    def wake(self) -> None:
        """Catch up now instead of at the next poll."""
        self._wake.set()

    def wait_until_ready(self, timeout_s: float | None = None) -> None:
        """Wait for the indexes; raises Unavailable when they failed to open or took too long."""
        self._opened.wait(timeout_s)
        self._ready()

    def _run(self) -> None:
        if not self._open_logged():
            return
        while not self._stop.is_set():
            self._wake.clear()
            try:
                self.catch_up()
            except Exception:
                logger.exception("the index could not catch up; trying again")
            self._save_when_due()
            self._rebuild_when_needed()
            self._wake.wait(self._poll_s)

    def _open_logged(self) -> bool:
        while not self._stop.is_set():
            try:
                self.open()
            except SQLAlchemyError:
                logger.exception("the index could not be opened; trying again")
                self._stop.wait(self._poll_s)
            except Exception:
                logger.exception("the index could not be opened")
                break
            else:
                return True
        self._opened.set()
        return False

    def _save_when_due(self) -> None:
        if time.monotonic() - self._saved_at >= self._snapshot_every_s:
            self._save_logged()

    def _save_logged(self) -> None:
        try:
            self.save()
        except OSError:
            logger.exception("the index could not be saved; it will be rebuilt at the next start")

    def _rebuild_when_needed(self) -> None:
        """Aside, so that new tracks go on appearing: sorting a million vectors takes a while."""
        running = self._rebuild_thread is not None and self._rebuild_thread.is_alive()
        if self._ready().needs_rebuild and not running:
            self._rebuild_thread = threading.Thread(
                target=self._rebuild_logged, name="index-rebuild", daemon=True
            )
            self._rebuild_thread.start()

    def _rebuild_logged(self) -> None:
        try:
            self.rebuild()
        except Exception:
            logger.exception("the index could not be rebuilt")

    # --- parts ----------------------------------------------------------------------------------

    def _ready(self) -> TwinIndex:
        twin = self._twin
        if twin is None:
            raise Unavailable("The index is being prepared; try again shortly.")
        return twin

    def _load(self, model_id: str, dim: int) -> TwinIndex | None:
        try:
            return TwinIndex.load(self._folder_of(model_id), model_id, dim, self._config)
        except SnapshotError as error:
            logger.info("%s: building the index from the database", error)
            return None

    def _compare(self, *, repairing: bool) -> Verification:
        # One moment for catching up and comparing, so that nothing can differ but by a fault.
        with self._changing, self._database.snapshot() as session:
            twin = self._ready()
            twin.catch_up(session)
            reports = twin.verify(session)
            repaired = 0
            if repairing and not reports.is_equal:
                repaired = twin.repair(session, reports)
                logger.warning("repaired %d vectors of the index", repaired)
        return verification_of(reports, repaired)

    def _folder_of(self, model_id: str) -> Path:
        if not _FOLDER_NAME.fullmatch(model_id):
            raise ValueError("a model's id must be fit for a folder's name")
        return self._folder / model_id


def hits_of(index: VectorIndex, query: Vectors, k: int, among: Ids | None = None) -> Hits:
    """What an index finds for one query [E], without the gaps."""
    found = index.search(query.reshape(1, -1), k, among)
    real = found.ids[0] != NO_ID
    return Hits(found.ids[0][real], found.scores[0][real], found.approximate)


def verification_of(reports: Reports, repaired: int) -> Verification:
    """The reports of both indexes as one."""
    both = (reports.tracks, reports.clips)
    return Verification(
        ok=reports.is_equal,
        checked=sum(report.checked for report in both),
        missing=sum(report.missing.size for report in both),
        extra=sum(report.extra.size for report in both),
        different=sum(report.different.size for report in both),
        repaired=repaired,
    )


def _saved_seq(folder: Path) -> int | None:
    try:
        seqs = {read_manifest(folder / part).seq for part in ("tracks", "clips")}
    except SnapshotError:
        return None
    return seqs.pop() if len(seqs) == 1 else None


def _age_s(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except FileNotFoundError:
        return None
