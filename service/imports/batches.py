"""The SQL of batches: each function works inside the caller's session and never commits.

Order of locks: the import's row, then tracks, jobs and files. A file that comes in shares the lock
on its import's row, so that none slips in behind a pause or a cancel.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Select, insert, select, update
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from service.database.engine import database_now
from service.database.import_tables import (
    OPEN_ITEMS,
    Import,
    ImportItem,
    ImportState,
    ItemState,
    WebhookDelivery,
)
from service.database.tables import Job, JobState, Track, TrackState
from service.ids import new_id
from service.imports.errors import ImportNotFound
from service.imports.progress import Progress, measure
from service.jobs.batch_items import JOB_CANCELLED, JOB_CANCELLED_MESSAGE

TRACK_DELETED = "track_deleted"
_SETTLED_AT_ONCE = 500
_TRACK_DELETED_MESSAGE = "The track was deleted before it was analysed."


def get_batch(session: Session, import_id: str, *, lock: bool = False) -> Import:
    """Raises ImportNotFound."""
    query = select(Import).where(Import.id == import_id)
    batch = session.scalar(query.with_for_update() if lock else query)
    if batch is None:
        raise ImportNotFound(import_id=import_id)
    return batch


def share_batch(session: Session, import_id: str) -> Import:
    """The batch as it stays until the commit, for any number of files at once."""
    batch = session.scalar(
        select(Import).where(Import.id == import_id).with_for_update(read=True, key_share=False)
    )
    if batch is None:
        raise ImportNotFound(import_id=import_id)
    return batch


def add_items(session: Session, rows: Sequence[dict[str, Any]]) -> None:
    """Add files to a batch; those that are there already stay as they are."""
    if not rows:
        return
    now = database_now(session)
    make = sqlite_insert if session.get_bind().dialect.name == "sqlite" else postgresql_insert
    session.execute(
        make(ImportItem).on_conflict_do_nothing(index_elements=["import_id", "item_key"]),
        [{"state": ItemState.WAITING, "updated_at": now, **row} for row in rows],
    )


def item_key(*parts: bytes) -> str:
    """What makes a file one of its batch: its path, and for uploads its bytes too."""
    return hashlib.sha256(b"\x00".join(parts)).hexdigest()


def hold_jobs(session: Session, import_id: str, *, held: bool) -> None:
    """Hold the batch's queued jobs back, or let them go; one that runs goes on to its end."""
    session.execute(
        update(Job)
        .where(
            Job.track_pk.in_(_tracks(import_id, ItemState.QUEUED)),
            Job.state == JobState.QUEUED,
            Job.held.is_not(held),
        )
        .values(held=held)
        .execution_options(synchronize_session=False)
    )


def cancel_open(session: Session, import_id: str) -> None:
    """End every file that has not ended, and the jobs of those that are stored."""
    now = database_now(session)
    session.execute(
        update(Job)
        .where(
            Job.track_pk.in_(_tracks(import_id, ItemState.QUEUED)),
            Job.state.in_((JobState.QUEUED, JobState.RUNNING)),
        )
        .values(state=JobState.CANCELLED, owner=None, lease_until=None, held=False, finished_at=now)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(ImportItem)
        .where(ImportItem.import_id == import_id, ImportItem.state.in_(OPEN_ITEMS))
        .values(state=ItemState.CANCELLED, ended_at=now)
        .execution_options(synchronize_session=False)
    )


def has_items(session: Session, import_id: str, *states: ItemState) -> bool:
    """Whether a file of the batch is in one of these states."""
    query = select(ImportItem.pk).where(
        ImportItem.import_id == import_id, ImportItem.state.in_(states)
    )
    return session.scalar(query.limit(1)) is not None


def has_open_jobs(session: Session, import_id: str) -> bool:
    """Whether a stored file of the batch still has a job that will end it."""
    query = (
        select(ImportItem.pk)
        .join(Job, Job.track_pk == ImportItem.track_pk)
        .where(
            ImportItem.import_id == import_id,
            ImportItem.state == ItemState.QUEUED,
            Job.state.in_((JobState.QUEUED, JobState.RUNNING)),
        )
    )
    return session.scalar(query.limit(1)) is not None


def settle(session: Session, import_id: str) -> None:
    """End stored files without an open job as their tracks stand: what no job's end will do.

    Such are files whose track was deleted, or was already brought to an end by another batch.
    """
    stray = (
        select(ImportItem, Track)
        .outerjoin(Track, Track.pk == ImportItem.track_pk)
        .where(ImportItem.import_id == import_id, ImportItem.state == ItemState.QUEUED)
    )
    now = database_now(session)
    for item, track in session.execute(stray.limit(_SETTLED_AT_ONCE)):
        item.state, item.error_code, item.error_message = _end_of(track)
        item.ended_at = now


def _end_of(track: Track | None) -> tuple[ItemState, str | None, str | None]:
    if track is None:
        return ItemState.CANCELLED, TRACK_DELETED, _TRACK_DELETED_MESSAGE
    if track.state == TrackState.READY:
        return ItemState.DONE, None, None
    if track.state == TrackState.FAILED:
        return ItemState.FAILED, track.error_code, track.error_message
    return ItemState.CANCELLED, JOB_CANCELLED, JOB_CANCELLED_MESSAGE


def end_batch(session: Session, batch: Import, state: ImportState) -> None:
    """End a locked batch, and queue the message to its webhook in the same commit."""
    now = database_now(session)
    if batch.state == ImportState.RUNNING:
        batch.active_s += max((now - batch.resumed_at).total_seconds(), 0.0)
    batch.state, batch.finished_at = state, now
    batch.owner, batch.lease_until = None, None
    batch.error_code = batch.error_message = None
    session.flush()
    if batch.webhook_url is None:
        return
    progress = measure(session, [batch])[batch.id]
    delivery_id = new_id()
    body = json.dumps(_message(delivery_id, batch, progress), separators=(",", ":"))
    session.execute(
        insert(WebhookDelivery).values(
            id=delivery_id, import_id=batch.id, body=body, log=[], next_at=now, created_at=now
        )
    )


def _message(delivery_id: str, batch: Import, progress: Progress) -> dict[str, Any]:
    assert batch.finished_at is not None
    return {
        "event": "import.ended",
        "delivery_id": delivery_id,
        "import": {
            "id": batch.id,
            "name": batch.name,
            "reference": batch.reference,
            "state": str(batch.state),
            "counts": progress.counts,
            "total_files": progress.total,
            "audio_s": round(progress.audio_s, 3),
            "active_s": round(progress.active_s, 3),
            "finished_at": batch.finished_at.isoformat(),
        },
    }


def _tracks(import_id: str, state: ItemState) -> Select[int | None]:
    return select(ImportItem.track_pk).where(
        ImportItem.import_id == import_id,
        ImportItem.state == state,
        ImportItem.track_pk.is_not(None),
    )
