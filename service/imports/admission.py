"""How a file comes in through its batch: the two kinds of Admission that uploads know.

Both write the batch's line about the file in the transaction that stores the file, so that a kill
leaves both or none, and a file that was taken in is never taken for a duplicate of itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import delete, update
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.import_tables import Import, ImportItem, ImportState, ItemState
from service.database.tables import TrackState
from service.errors import MuqueryError
from service.imports.batches import add_items, get_batch, item_key, share_batch
from service.imports.errors import ImportClosed
from service.ingest.upload import Uploaded


class BatchStopped(Exception):
    """The batch was paused, cancelled, or is another process's work by now."""


@dataclass(frozen=True)
class FolderFile:
    """A waiting file of a folder's batch, taken in by `owner`."""

    import_id: str
    item_pk: int
    owner: str

    def begin(self, session: Session) -> bool:
        batch = share_batch(session, self.import_id)
        if batch.state != ImportState.RUNNING or batch.owner != self.owner:
            raise BatchStopped
        return False

    def note(self, session: Session, uploaded: Uploaded) -> None:
        # Only a waiting file: whoever had the lease before may have taken it in meanwhile.
        session.execute(
            update(ImportItem)
            .where(ImportItem.pk == self.item_pk, ImportItem.state == ItemState.WAITING)
            .values(_outcome(uploaded, database_now(session)))
            .execution_options(synchronize_session=False)
        )


@dataclass(frozen=True)
class SentFile:
    """A file that a client sends into its batch under a path of its own choosing."""

    import_id: str
    path: str

    def check(self, session: Session) -> None:
        """Raise ImportNotFound or ImportClosed where the batch takes no files."""
        _check_accepting(get_batch(session, self.import_id))

    def begin(self, session: Session) -> bool:
        batch = share_batch(session, self.import_id)
        _check_accepting(batch)
        return batch.state == ImportState.PAUSED

    def note(self, session: Session, uploaded: Uploaded) -> None:
        sha256 = uploaded.track.sha256
        key = item_key(self.path.encode(), sha256.encode())
        session.execute(delete(ImportItem).where(*self._same(item_key(self.path.encode()))))
        session.execute(
            delete(ImportItem).where(*self._same(key), ImportItem.state == ItemState.FAILED)
        )
        outcome = _outcome(uploaded, database_now(session))
        self._add(session, key, outcome)

    def refuse(self, database: Database, error: MuqueryError) -> None:
        """Note a file that could not be taken in; the client may send it again."""
        key = item_key(self.path.encode())
        with database.write() as session:
            self.begin(session)
            session.execute(delete(ImportItem).where(*self._same(key)))
            self._add(session, key, failure(error.code, error.message, database_now(session)))

    def _same(self, key: str) -> tuple[Any, ...]:
        return ImportItem.import_id == self.import_id, ImportItem.item_key == key

    def _add(self, session: Session, key: str, values: dict[str, Any]) -> None:
        row = {"import_id": self.import_id, "item_key": key, "path": self.path}
        add_items(session, [row | values])


def _check_accepting(batch: Import) -> None:
    is_open = batch.state in (ImportState.RUNNING, ImportState.PAUSED)
    if batch.source != "upload" or batch.listed_at is not None or not is_open:
        raise ImportClosed(state=batch.state)


def failure(code: str, message: str, now: datetime) -> dict[str, Any]:
    """The columns of a file that ended with an error."""
    return {
        "state": ItemState.FAILED,
        "error_code": code,
        "error_message": message,
        "ended_at": now,
        "updated_at": now,
    }


def _outcome(uploaded: Uploaded, now: datetime) -> dict[str, Any]:
    track = uploaded.track
    found: dict[str, Any] = {
        "track_pk": track.pk,
        "size_bytes": track.size_bytes,
        "duration_s": track.duration_s,
        "error_code": None,
        "error_message": None,
        "updated_at": now,
    }
    if not uploaded.duplicate:
        return found | {"state": ItemState.QUEUED, "ended_at": None}
    if track.state == TrackState.FAILED:
        return found | failure(track.error_code or "failed", track.error_message or "", now)
    return found | {"state": ItemState.DUPLICATE, "ended_at": now}
