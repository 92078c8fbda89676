"""Another try for the files of a batch that failed, some hundred at a time."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.import_tables import Import, ImportItem, ImportState, ItemState
from service.database.tables import Job, JobState, Track, TrackState
from service.imports.batches import get_batch
from service.imports.errors import ImportEnded
from service.imports.folders import FOLDER_UNREADABLE

_AT_ONCE = 500


@dataclass(frozen=True)
class Retried:
    """How many files are tried again, and how many only the client can send again."""

    retried: int
    needs_upload: int


def retry_failed(database: Database, import_id: str, more_attempts: int) -> Retried:
    """Queue failed files again; a finished batch runs again then.

    Raises ImportNotFound, ImportEnded where it was cancelled.
    """
    after_pk = retried = needs_upload = 0
    while True:
        with database.write() as session:
            batch = get_batch(session, import_id, lock=True)
            if batch.state == ImportState.CANCELLED:
                raise ImportEnded(state=batch.state)
            failed = _failed(session, import_id, after_pk)
            stored = [item for item in failed if item.track_pk is not None]
            lost = [item for item in failed if item.track_pk is None and item.path_bytes is None]
            closed = [item for item in failed if item.error_code == FOLDER_UNREADABLE]
            again = [item for item in failed if _is_file_of_folder(item)]
            pks = [item.track_pk for item in stored if item.track_pk is not None]
            _requeue(session, batch, pks, more_attempts)
            for items, state in ((stored, ItemState.QUEUED), (again, ItemState.WAITING)):
                _reset(session, [item.pk for item in items], state)
            if closed:  # a folder that stayed closed is looked for by listing again
                _forget(session, [item.pk for item in closed])
                batch.listed_at = None
            if stored or again or closed:
                _run_again(session, batch)
        retried += len(stored) + len(again) + len(closed)
        needs_upload += len(lost)
        if len(failed) < _AT_ONCE:
            return Retried(retried, needs_upload)
        after_pk = failed[-1].pk


def _failed(session: Session, import_id: str, after_pk: int) -> list[ImportItem]:
    query = (
        select(ImportItem)
        .where(
            ImportItem.import_id == import_id,
            ImportItem.state == ItemState.FAILED,
            ImportItem.pk > after_pk,
        )
        .order_by(ImportItem.pk)
        .limit(_AT_ONCE)
    )
    return list(session.scalars(query))


def _is_file_of_folder(item: ImportItem) -> bool:
    is_file = item.path_bytes is not None and item.error_code != FOLDER_UNREADABLE
    return is_file and item.track_pk is None


def _forget(session: Session, pks: list[int]) -> None:
    session.execute(delete(ImportItem).where(ImportItem.pk.in_(pks)))


def _requeue(session: Session, batch: Import, track_pks: list[int], more_attempts: int) -> None:
    """A fresh set of tries for their jobs; `attempts` goes on counting, because it is the fence."""
    list(
        session.scalars(
            select(Track.pk).where(Track.pk.in_(track_pks)).order_by(Track.pk).with_for_update()
        )
    )
    session.execute(
        update(Track)
        .where(Track.pk.in_(track_pks), Track.state == TrackState.FAILED)
        .values(state=TrackState.PENDING, error_code=None, error_message=None)
        .execution_options(synchronize_session=False)
    )
    session.execute(
        update(Job)
        .where(Job.track_pk.in_(track_pks), Job.state.in_((JobState.FAILED, JobState.CANCELLED)))
        .values(
            state=JobState.QUEUED,
            owner=None,
            lease_until=None,
            progress=0.0,
            run_at=database_now(session),
            max_attempts=Job.attempts + more_attempts,
            held=batch.state == ImportState.PAUSED,
            error_code=None,
            error_message=None,
            finished_at=None,
        )
        .execution_options(synchronize_session=False)
    )


def _reset(session: Session, pks: list[int], state: ItemState) -> None:
    session.execute(
        update(ImportItem)
        .where(ImportItem.pk.in_(pks))
        .values(state=state, error_code=None, error_message=None, ended_at=None)
        .execution_options(synchronize_session=False)
    )


def _run_again(session: Session, batch: Import) -> None:
    if batch.state == ImportState.DONE:
        batch.state, batch.finished_at = ImportState.RUNNING, None
        batch.resumed_at = database_now(session)
        session.flush()
