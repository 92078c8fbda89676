"""The background work of batches: list a folder, take its files in, have ended what is complete.

One runner works on a folder's batch at a time, by a lease on its row; but nothing relies on that.
A listing that was killed is done again and adds only what is missing. A file is taken in by one
transaction that also changes its line from waiting, so that doing it again changes nothing.

Files are copied only a little ahead of what is analysed, so that a pause is felt at once and the
disk does not fill up with a queue.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.import_tables import Import, ImportItem, ImportState, ItemState
from service.errors import MuqueryError, Unavailable
from service.imports.admission import BatchStopped, FolderFile, failure
from service.imports.batches import add_items, get_batch, item_key
from service.imports.ending import BatchEnder
from service.imports.folders import AllowedFolders, FolderScan, FoundFile, open_below
from service.ingest.upload import UploadService
from service.tracks.service import TrackService

logger = logging.getLogger(__name__)

FILE_GONE = "file_gone"
FILE_UNREADABLE = "file_unreadable"
_MESSAGES = {
    FILE_GONE: "The file is not there any more.",
    FILE_UNREADABLE: "The file could not be read.",
    "folder_unreadable": "The folder could not be read.",
}
LISTED_AT_ONCE = 500
TAKEN_AT_ONCE = 20
AHEAD = 200
"""Files of a batch that may be stored and not analysed yet."""

_COPY_BYTES = 1 << 20
_AFTER_ERROR_S = 5.0


class ImportRunner:
    """Works for all batches of a database; any number of runners may."""

    def __init__(
        self,
        database: Database,
        uploads: UploadService,
        tracks: TrackService,
        folders: AllowedFolders,
        *,
        owner: str,
        lease_s: float = 60.0,
        poll_s: float = 1.0,
        on_stored: Callable[[], None] = lambda: None,
    ) -> None:
        self._database = database
        self._uploads = uploads
        self._ender = BatchEnder(database, tracks)
        self._folders = folders
        self._owner = owner
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._on_stored = on_stored
        self._stop = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Run in a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="imports", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the file that is being taken in; safe without `start`."""
        self._stop.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join()

    def wake(self) -> None:
        """Look for work now instead of at the next poll."""
        self._wake.set()

    def run(self) -> None:
        """Work until asked to stop."""
        while not self._stop.is_set():
            self._wake.clear()
            try:
                busy = self.run_once()
            except Unavailable as error:
                logger.info("batches wait: %s", error.code)
                busy = False
            except Exception:
                logger.exception("batches could not be worked on; trying again shortly")
                self._stop.wait(_AFTER_ERROR_S)
                continue
            if not busy:
                self._wake.wait(self._poll_s)

    def run_once(self) -> bool:
        """Do a little for every batch that needs it; False when nothing could be done."""
        busy = False
        for import_id in self._claimable():
            if self._stop.is_set():
                return True
            if not self._has_room(import_id):
                continue
            with self._claimed(import_id) as batch:
                if batch is not None:
                    busy = self._work_on(batch) or busy
        busy = self._ender.end_complete() or busy
        return self._ender.take_out_cancelled(self._stop.is_set) or busy

    # --- a folder's batch -----------------------------------------------------------------------

    def _work_on(self, batch: Import) -> bool:
        assert batch.folder is not None, "only a folder's batch can be claimed"
        folder = Path(batch.folder)
        try:
            self._folders.check(folder)
            if batch.listed_at is None:
                self._list(batch.id, folder)
            return self._take_in(batch.id, folder)
        except BatchStopped:
            return True
        except Unavailable as error:
            self._note_trouble(batch.id, error)
            raise
        except MuqueryError as error:  # the folder is gone, or not allowed any more
            self._note_trouble(batch.id, error)
            return False

    def _list(self, import_id: str, folder: Path) -> None:
        scan = FolderScan(folder)
        files = iter(scan)
        while found := list(islice(files, LISTED_AT_ONCE)):
            with self._held(import_id) as session:
                now = database_now(session)
                add_items(session, [_item_row(import_id, each, now) for each in found])
        with self._held(import_id) as session:
            batch = get_batch(session, import_id)
            batch.ignored_files = scan.ignored
            batch.listed_at = database_now(session)

    def _take_in(self, import_id: str, folder: Path) -> bool:
        """Take some files in; False when none is left."""
        with self._database.read() as session:
            waiting = _waiting(session, import_id, TAKEN_AT_ONCE)
        for item in waiting:
            if self._stop.is_set():
                break
            self._take_file(item, folder)
        return bool(waiting)

    def _take_file(self, item: ImportItem, folder: Path) -> None:
        assert item.path_bytes is not None, "a folder's file has a path"
        admission = FolderFile(item.import_id, item.pk, self._owner)
        name = os.fsdecode(item.path_bytes.rpartition(b"/")[2])
        try:
            with open_below(folder, item.path_bytes) as file:
                chunks = iter(lambda: file.read(_COPY_BYTES), b"")
                self._uploads.upload(chunks, filename=name, admission=admission)
            self._on_stored()
        except (BatchStopped, Unavailable):
            raise
        except MuqueryError as error:
            self._note_failure(item, error.code, error.message)
        except FileNotFoundError:
            self._note_failure(item, FILE_GONE, _MESSAGES[FILE_GONE])
        except OSError as error:
            logger.warning("a file of a batch could not be read: errno %s", error.errno)
            self._note_failure(item, FILE_UNREADABLE, _MESSAGES[FILE_UNREADABLE])
        except Exception:
            logger.exception("a file of a batch could not be taken in")
            self._note_failure(item, MuqueryError.code, MuqueryError.default_message)

    def _note_failure(self, item: ImportItem, code: str, message: str) -> None:
        with self._held(item.import_id) as session:
            session.execute(
                update(ImportItem)
                .where(ImportItem.pk == item.pk, ImportItem.state == ItemState.WAITING)
                .values(failure(code, message, database_now(session)))
                .execution_options(synchronize_session=False)
            )

    def _note_trouble(self, import_id: str, error: MuqueryError) -> None:
        """Say why a batch stands still; the next file that comes in takes it back."""
        with self._database.write() as session:
            batch = get_batch(session, import_id, lock=True)
            if batch.state == ImportState.RUNNING:
                batch.error_code, batch.error_message = error.code, error.message

    # --- leases ---------------------------------------------------------------------------------

    def _claimable(self) -> Sequence[str]:
        with self._database.read() as session:
            now = database_now(session)
            unfinished = or_(
                Import.listed_at.is_(None),
                select(ImportItem.pk)
                .where(ImportItem.import_id == Import.id, ImportItem.state == ItemState.WAITING)
                .exists(),
            )
            query = select(Import.id).where(
                Import.state == ImportState.RUNNING,
                Import.source == "folder",
                or_(Import.lease_until.is_(None), Import.lease_until < now),
                unfinished,
            )
            return session.scalars(query.order_by(Import.created_at)).all()

    def _has_room(self, import_id: str) -> bool:
        with self._database.read() as session:
            return _count(session, import_id, ItemState.QUEUED) < AHEAD

    @contextmanager
    def _claimed(self, import_id: str) -> Iterator[Import | None]:
        """The batch as ours for the length of the block; None where another was quicker."""
        with self._database.write() as session:
            now = database_now(session)
            batch = session.scalar(select(Import).where(Import.id == import_id).with_for_update())
            free = batch and (batch.lease_until is None or batch.lease_until < now)
            if batch is None or not free or batch.state != ImportState.RUNNING:
                batch = None
            else:
                batch.owner = self._owner
                batch.lease_until = now + timedelta(seconds=self._lease_s)
        try:
            yield batch
        finally:
            if batch is not None:
                self._release(import_id)

    def _release(self, import_id: str) -> None:
        with self._database.write() as session:
            session.execute(
                update(Import)
                .where(Import.id == import_id, Import.owner == self._owner)
                .values(owner=None, lease_until=None)
                .execution_options(synchronize_session=False)
            )

    @contextmanager
    def _held(self, import_id: str) -> Iterator[Session]:
        """A transaction in which the batch runs and is ours; it renews the lease.

        Raises BatchStopped.
        """
        with self._database.write() as session:
            batch = get_batch(session, import_id, lock=True)
            if batch.state != ImportState.RUNNING or batch.owner != self._owner:
                raise BatchStopped
            batch.lease_until = database_now(session) + timedelta(seconds=self._lease_s)
            batch.error_code = batch.error_message = None
            session.flush()
            yield session


def _item_row(import_id: str, found: FoundFile, now: object) -> dict[str, object]:
    row: dict[str, object] = {
        "import_id": import_id,
        "item_key": item_key(found.path_bytes),
        "path": found.path,
        "path_bytes": found.path_bytes,
        "size_bytes": found.size_bytes,
        "state": ItemState.WAITING,
        "error_code": None,
        "error_message": None,
        "ended_at": None,
    }
    if found.error_code is not None:
        row |= {
            "state": ItemState.FAILED,
            "error_code": found.error_code,
            "error_message": _MESSAGES[found.error_code],
            "ended_at": now,
        }
    return row


def _count(session: Session, import_id: str, state: ItemState) -> int:
    query = select(func.count()).where(ImportItem.import_id == import_id, ImportItem.state == state)
    return session.scalar(query) or 0


def _waiting(session: Session, import_id: str, limit: int) -> list[ImportItem]:
    query = (
        select(ImportItem)
        .where(ImportItem.import_id == import_id, ImportItem.state == ItemState.WAITING)
        .order_by(ImportItem.pk)
        .limit(limit)
    )
    return list(session.scalars(query))
