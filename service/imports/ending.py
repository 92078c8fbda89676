"""The ends of batches: one whose last file has ended is done; a cancelled one is cleared up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.import_tables import Import, ImportItem, ImportState, ItemState
from service.database.tables import Job, JobState, Track, TrackState
from service.errors import TrackNotFound
from service.imports.batches import end_batch, get_batch, has_items, has_open_jobs, settle
from service.tracks.service import TrackService

logger = logging.getLogger(__name__)

TAKEN_OUT_AT_ONCE = 500


class BatchEnder:
    """Looks after batches that nobody has to take files in for any more; safe to run many times."""

    def __init__(self, database: Database, tracks: TrackService) -> None:
        self._database = database
        self._tracks = tracks

    def end_complete(self) -> bool:
        """End the batches whose files have all ended; False where there was none."""
        with self._database.read() as session:
            query = select(Import.id).where(
                Import.state == ImportState.RUNNING, Import.listed_at.is_not(None)
            )
            running = session.scalars(query).all()
        ended = [self._end_if_complete(import_id) for import_id in running]
        return any(ended)

    def take_out_cancelled(self, stopping: Callable[[], bool]) -> bool:
        """Remove tracks that cancelled batches stored and nobody analysed; False when none is.

        A cancelled batch keeps the date of a lease until nothing of it is left to be taken out.
        """
        with self._database.read() as session:
            query = select(Import.id).where(
                Import.state == ImportState.CANCELLED, Import.lease_until.is_not(None)
            )
            cancelled = session.scalars(query).all()
        for import_id in cancelled:
            with self._database.read() as session:
                unwanted = _unwanted_tracks(session, import_id)
            for track_id in unwanted:
                if stopping():
                    return True
                with suppress(TrackNotFound):
                    self._tracks.delete_track(track_id)
            if not unwanted:
                self._let_go(import_id)
        return bool(cancelled)

    def _end_if_complete(self, import_id: str) -> bool:
        with self._database.read() as session:
            if not _looks_complete(session, import_id):
                return False
        with self._database.write() as session:
            batch = get_batch(session, import_id, lock=True)
            if batch.state != ImportState.RUNNING or batch.listed_at is None:
                return False
            if not _looks_complete(session, import_id):
                return False
            settle(session, import_id)
            session.flush()
            if has_items(session, import_id, ItemState.QUEUED):
                return True  # more to settle than was done at once
            end_batch(session, batch, ImportState.DONE)
        logger.info("import %s: done", import_id)
        return True

    def _let_go(self, import_id: str) -> None:
        with self._database.write() as session:
            session.execute(
                update(Import)
                .where(Import.id == import_id, Import.state == ImportState.CANCELLED)
                .values(lease_until=None)
                .execution_options(synchronize_session=False)
            )


def _looks_complete(session: Session, import_id: str) -> bool:
    waits = has_items(session, import_id, ItemState.WAITING)
    return not waits and not has_open_jobs(session, import_id)


def _unwanted_tracks(session: Session, import_id: str) -> Sequence[str]:
    query = (
        select(Track.id)
        .join(ImportItem, ImportItem.track_pk == Track.pk)
        .join(Job, Job.track_pk == Track.pk)
        .where(
            ImportItem.import_id == import_id,
            ImportItem.state == ItemState.CANCELLED,
            Track.state == TrackState.PENDING,
            Job.state == JobState.CANCELLED,
        )
    )
    return session.scalars(query.limit(TAKEN_OUT_AT_ONCE)).all()
