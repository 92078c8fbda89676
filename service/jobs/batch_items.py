"""What the end of a job means for the files of batches: told in the transaction that ends the job.

Order of locks: after the job's row. A file is found by its track, so that it does not matter which
job (of which model, at which try) brought the track to its end.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.database.engine import database_now
from service.database.import_tables import Import, ImportItem, ImportState, ItemState
from service.database.tables import Track

JOB_CANCELLED = "job_cancelled"
JOB_CANCELLED_MESSAGE = "The job was cancelled."


def end_items(
    session: Session,
    track_pk: int,
    state: ItemState,
    code: str | None = None,
    message: str | None = None,
) -> None:
    """End the files that wait for this track."""
    length = select(Track.duration_s).where(Track.pk == track_pk).scalar_subquery()
    session.execute(
        update(ImportItem)
        .where(ImportItem.track_pk == track_pk, ImportItem.state == ItemState.QUEUED)
        .values(
            state=state,
            error_code=code,
            error_message=message,
            ended_at=database_now(session),
            duration_s=length,
        )
        .execution_options(synchronize_session=False)
    )


def reopen_items(session: Session, track_pk: int) -> None:
    """Let the files of this track wait again: its job is tried once more by hand."""
    cancelled = select(Import.id).where(Import.state == ImportState.CANCELLED)
    session.execute(
        update(ImportItem)
        .where(
            ImportItem.track_pk == track_pk,
            ImportItem.state.in_((ItemState.FAILED, ItemState.CANCELLED)),
            ImportItem.import_id.not_in(cancelled),
        )
        .values(state=ItemState.QUEUED, error_code=None, error_message=None, ended_at=None)
        .execution_options(synchronize_session=False)
    )
