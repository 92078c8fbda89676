"""What clients may do with batches: start, look, pause, resume, close, cancel, retry, forget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, delete, func, or_, select
from sqlalchemy.orm import Session

from service.database.engine import Database, LockSpace, database_now, lock_until_commit
from service.database.import_tables import (
    Import,
    ImportItem,
    ImportState,
    WebhookDelivery,
)
from service.database.paging import Keyset, Page
from service.database.tables import Track
from service.errors import InvalidRequest
from service.ids import new_id
from service.imports.batches import cancel_open, end_batch, get_batch, hold_jobs
from service.imports.errors import ImportClosed, ImportEnded, ImportNotEnded
from service.imports.folders import AllowedFolders
from service.imports.progress import Progress, measure
from service.imports.retrying import Retried, retry_failed
from service.imports.webhooks import WebhookRules, new_secret
from service.jobs.workers import QueueProblem, read_board
from service.tracks.metadata import clean_text

FOLDER, UPLOAD = "folder", "upload"
_NAME_CHARS, _REFERENCE_CHARS = 200, 100
_OPEN_STATES = (ImportState.RUNNING, ImportState.PAUSED)
_DELIVERIES_SHOWN = 10


@dataclass(frozen=True)
class Wanted:
    """What a client asks a new batch to be; a `folder` makes it one of the server's own files.

    `secret` signs the webhook's messages; without one, one is made.
    """

    folder: str | None = None
    name: str | None = None
    reference: str | None = None
    webhook_url: str | None = None
    webhook_secret: str | None = None


@dataclass(frozen=True)
class ImportView:
    """A batch as it is now, what its webhook was told, and why nobody works on it if so."""

    batch: Import
    progress: Progress
    deliveries: Sequence[WebhookDelivery]
    problem: QueueProblem | None = None


@dataclass(frozen=True)
class Created:
    """A batch; `new` is False where one with this reference is open, and the secret is None then.

    Nothing gives the secret again after this.
    """

    view: ImportView
    new: bool
    webhook_secret: str | None


@dataclass(frozen=True)
class ItemView:
    """A file of a batch, with the public id of its track."""

    item: ImportItem
    track_id: str | None


class ImportService:
    """Batches as clients see them; rows come back detached from any session."""

    def __init__(
        self,
        database: Database,
        folders: AllowedFolders,
        webhooks: WebhookRules,
        *,
        max_attempts: int = 3,
    ) -> None:
        self._database = database
        self._folders = folders
        self._webhooks = webhooks
        self._max_attempts = max_attempts

    def create(self, wanted: Wanted) -> Created:
        """Start a batch, or find the open one with this reference.

        Raises FolderImportsOff, FolderNotAllowed, FolderNotFound, WebhookNotAllowed.
        """
        source = UPLOAD if wanted.folder is None else FOLDER
        folder = None if wanted.folder is None else str(self._folders.resolve(wanted.folder))
        reference = _cleaned(wanted.reference, _REFERENCE_CHARS)
        if folder is not None and not _is_storable(folder):
            raise InvalidRequest("A folder's own path must be UTF-8.")
        if wanted.webhook_url is not None:
            self._webhooks.check(wanted.webhook_url)
        secret = wanted.webhook_secret or new_secret() if wanted.webhook_url else None
        with self._database.write() as session:
            lock_until_commit(session, LockSpace.IMPORTS)
            known = _find_open(session, source, reference)
            if known is not None:
                return Created(_view(session, known), False, None)
            now = database_now(session)
            batch = Import(
                id=new_id(),
                source=source,
                name=_cleaned(wanted.name, _NAME_CHARS),
                reference=reference,
                folder=folder,
                webhook_url=wanted.webhook_url,
                webhook_secret=secret,
                resumed_at=now,
                created_at=now,
            )
            session.add(batch)
            session.flush()
            return Created(_view(session, batch), True, secret)

    def get_import(self, import_id: str) -> ImportView:
        """Raises ImportNotFound."""
        with self._database.read() as session:
            return _view(session, get_batch(session, import_id))

    def list_imports(
        self,
        *,
        state: str | None = None,
        reference: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[ImportView]:
        """Newest first; raises InvalidCursor."""
        keyset = Keyset("created_at", Import.created_at.expression, Import.id.expression, True)
        wanted: list[ColumnElement[bool]] = [] if state is None else [Import.state == state]
        if reference is not None:
            wanted.append(Import.reference == reference)
        query = (
            select(Import)
            .where(*wanted, *keyset.after(cursor))
            .order_by(*keyset.order_by())
            .limit(limit + 1)
        )
        with self._database.read() as session:
            rows = list(session.scalars(query))
            views = _views(session, rows[:limit])
            total = session.scalar(select(func.count()).select_from(Import).where(*wanted)) or 0
        if len(rows) <= limit:
            return Page(views, total, None)
        last = rows[limit - 1]
        return Page(views, total, keyset.cursor(last.created_at, last.id))

    def list_items(
        self,
        import_id: str,
        *,
        state: str | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page[ItemView]:
        """In the order in which they were found; raises ImportNotFound, InvalidCursor."""
        keyset = Keyset("pk", ImportItem.pk.expression, ImportItem.pk.expression, False)
        wanted: list[ColumnElement[bool]] = [ImportItem.import_id == import_id]
        if state is not None:
            wanted.append(ImportItem.state == state)
        query = (
            select(ImportItem, Track.id)
            .outerjoin(Track, Track.pk == ImportItem.track_pk)
            .where(*wanted, *keyset.after(cursor))
            .order_by(ImportItem.pk)  # never NULL, so the index gives them in order
            .limit(limit + 1)
        )
        with self._database.read() as session:
            get_batch(session, import_id)
            rows = session.execute(query).all()
            total = session.scalar(select(func.count()).select_from(ImportItem).where(*wanted)) or 0
        items = [ItemView(*row) for row in rows[:limit]]
        last = items[-1].item.pk if len(rows) > limit else None
        return Page(items, total, None if last is None else keyset.cursor(last, last))

    def pause(self, import_id: str) -> ImportView:
        """Take in and analyse nothing more for now; raises ImportNotFound, ImportEnded."""
        with self._database.write() as session:
            batch = _open_batch(session, import_id)
            if batch.state == ImportState.RUNNING:
                batch.active_s += _seconds(batch.resumed_at, database_now(session))
                batch.state, batch.owner, batch.lease_until = ImportState.PAUSED, None, None
                hold_jobs(session, import_id, held=True)
                session.flush()
            return _view(session, batch)

    def resume(self, import_id: str) -> ImportView:
        """Go on; raises ImportNotFound, ImportEnded."""
        with self._database.write() as session:
            batch = _open_batch(session, import_id)
            if batch.state == ImportState.PAUSED:
                batch.state, batch.resumed_at = ImportState.RUNNING, database_now(session)
                hold_jobs(session, import_id, held=False)
                session.flush()
            return _view(session, batch)

    def close(self, import_id: str) -> ImportView:
        """Say that no more uploads come; raises ImportNotFound, ImportClosed (a folder's batch)."""
        with self._database.write() as session:
            batch = get_batch(session, import_id, lock=True)
            if batch.source != UPLOAD:
                raise ImportClosed
            if batch.listed_at is None:
                batch.listed_at = database_now(session)
                session.flush()
            return _view(session, batch)

    def cancel(self, import_id: str) -> ImportView:
        """End the batch: what is analysed stays, the rest is taken out again.

        Raises ImportNotFound, ImportEnded.
        """
        with self._database.write() as session:
            batch = _open_batch(session, import_id)
            cancel_open(session, import_id)
            batch.listed_at = batch.listed_at or database_now(session)
            end_batch(session, batch, ImportState.CANCELLED)
            batch.lease_until = batch.finished_at  # until a runner has taken out what was stored
            session.flush()
            return _view(session, batch)

    def retry(self, import_id: str) -> Retried:
        """Try the failed files again; raises ImportNotFound, ImportEnded (a cancelled batch)."""
        return retry_failed(self._database, import_id, self._max_attempts)

    def forget(self, import_id: str) -> None:
        """Remove the record of an ended batch; its tracks stay.

        Raises ImportNotFound, ImportNotEnded.
        """
        with self._database.write() as session:
            batch = get_batch(session, import_id, lock=True)
            if batch.state in _OPEN_STATES:
                raise ImportNotEnded(state=batch.state)
            session.execute(delete(Import).where(Import.id == import_id))


def imports_since(session: Session, since: datetime, *, limit: int) -> list[ImportView]:
    """Batches that changed, or whose files did, after that moment."""
    moved = select(ImportItem.import_id).where(ImportItem.updated_at > since)
    told = select(WebhookDelivery.import_id).where(WebhookDelivery.next_at > since)
    query = (
        select(Import)
        .where(or_(Import.updated_at > since, Import.id.in_(moved), Import.id.in_(told)))
        .order_by(Import.created_at.desc())
        .limit(limit)
    )
    return _views(session, list(session.scalars(query)))


def _open_batch(session: Session, import_id: str) -> Import:
    batch = get_batch(session, import_id, lock=True)
    if batch.state not in _OPEN_STATES:
        raise ImportEnded(state=batch.state)
    return batch


def _find_open(session: Session, source: str, reference: str | None) -> Import | None:
    if reference is None:
        return None
    query = select(Import).where(
        Import.reference == reference, Import.source == source, Import.state.in_(_OPEN_STATES)
    )
    return session.scalar(query.order_by(Import.created_at.desc()).limit(1))


def _view(session: Session, batch: Import) -> ImportView:
    return _views(session, [batch])[0]


def _views(session: Session, batches: Sequence[Import]) -> list[ImportView]:
    for batch in batches:
        session.refresh(batch)
    progress = measure(session, batches)
    told: dict[str, list[WebhookDelivery]] = {batch.id: [] for batch in batches}
    query = (
        select(WebhookDelivery)
        .where(WebhookDelivery.import_id.in_(list(told)))
        .order_by(WebhookDelivery.created_at.desc())
    )
    for delivery in session.scalars(query):
        if len(told[delivery.import_id]) < _DELIVERIES_SHOWN:
            told[delivery.import_id].append(delivery)
    waiting = {batch.id for batch in batches if _waits(batch, progress[batch.id])}
    problem = read_board(session).problem_of() if waiting else None
    return [
        ImportView(
            batch, progress[batch.id], told[batch.id], problem if batch.id in waiting else None
        )
        for batch in batches
    ]


def _waits(batch: Import, progress: Progress) -> bool:
    """Whether there is something that a worker should do for it."""
    is_unlisted = batch.source == "folder" and batch.listed_at is None
    return batch.state == ImportState.RUNNING and (is_unlisted or progress.open > 0)


def _cleaned(text: str | None, max_chars: int) -> str | None:
    return None if text is None else clean_text(text, max_chars)


def _is_storable(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True


def _seconds(since: datetime, until: datetime) -> float:
    return max((until - since).total_seconds(), 0.0)
