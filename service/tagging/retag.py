"""The job that brings the library's tags up to date: after another vocabulary, model or rule.

What is left to do stands in the tables (tracks whose `recipe` is another), so that a job that was
killed, or that gave way to an upload, goes on where it stopped. Each batch is one transaction.

Order of locks: track rows, the default vocabulary (shared), the job's row. Tracks that someone else
works on are passed over and come last.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from sqlalchemy import Select, delete, func, select
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.tables import Job, TagLabel, TagValue, Track, TrackTagging, TrackVector
from service.database.vectors import STORED
from service.jobs.queue import (
    GaveWay,
    LeaseLost,
    LibraryClaim,
    finish,
    is_held,
    is_needed_elsewhere,
    want_library_job,
)
from service.tagging.store import hold_default
from service.tagging.tagger import Prepared, TrackTagger, VocabularyChanged

log = logging.getLogger(__name__)

TAG = "tag"
"""The kind of this job."""

PRIORITY = 30
"""Behind every analysis: tags are made from what that leaves behind."""

_BATCH = 250
_BUSY_PAUSE_S = 0.2


def want_retag(session: Session, model_id: str, max_attempts: int) -> Job:
    """Queue the job, in the transaction that changes the default vocabulary."""
    return want_library_job(session, TAG, model_id, priority=PRIORITY, max_attempts=max_attempts)


class RetagLibrary:
    """The use case; one instance serves all such jobs of a worker."""

    def __init__(self, database: Database, tagger: TrackTagger, *, max_attempts: int = 3) -> None:
        self._database = database
        self._tagger = tagger
        self._max_attempts = max_attempts

    def want_if_outdated(self, model_id: str) -> bool:
        """Queue the job if a track's tags are out of date, as after an upgrade."""
        with self._database.read() as session:
            analysed = select(TrackVector.track_pk).where(TrackVector.model_id == model_id)
            if session.scalar(analysed.limit(1)) is None:
                return False
        prepared = self._tagger.prepare_or_skip()
        with self._database.read() as session:
            # A vocabulary that cannot be used is the job's own affair: it fails and says why.
            outdated = prepared is None or session.scalar(_outdated(prepared).limit(1)) is not None
        if outdated:
            with self._database.write() as session:
                want_retag(session, model_id, self._max_attempts)
        return outdated

    def run(self, claim: LibraryClaim, check: Callable[[float], None]) -> None:
        """Do the job and end it; what `check(progress)` raises between batches ends the run.

        Raises GaveWay where a more urgent job waits, LeaseLost, and what the model says about a
        label that it cannot read.
        """
        while True:
            prepared = self._tagger.prepare()
            try:
                self._tag_outdated(claim, prepared, check)
                if self._end(claim, prepared):
                    return
            except VocabularyChanged:
                log.info("job %s: another vocabulary is the default now; beginning again", claim)

    def _tag_outdated(
        self, claim: LibraryClaim, prepared: Prepared, check: Callable[[float], None]
    ) -> None:
        with self._database.read() as session:
            done, total = count_tagged(session, prepared)
        after = -1
        while True:
            check(done / max(total, 1))
            with self._database.write() as session:
                if is_needed_elsewhere(session, claim, PRIORITY):
                    raise GaveWay
                found, after = self._tag_batch(session, claim, prepared, after)
            done += found
            if after < 0:
                return

    def _tag_batch(
        self, session: Session, claim: LibraryClaim, prepared: Prepared, after: int
    ) -> tuple[int, int]:
        """Tag the next tracks; how many, and the last one's number (-1 when there are no more)."""
        wanted: Sequence[int] = session.scalars(
            _outdated(prepared)
            .where(TrackVector.track_pk > after)
            .order_by(TrackVector.track_pk)
            .limit(_BATCH)
        ).all()
        if not wanted:
            return 0, -1
        free = session.scalars(
            select(Track.pk)
            .where(Track.pk.in_(wanted))
            .order_by(Track.pk)
            .with_for_update(key_share=True, skip_locked=True)
        ).all()
        rows = session.execute(
            select(TrackVector.track_pk, TrackVector.vector)
            .where(TrackVector.track_pk.in_(free), TrackVector.model_id == prepared.model_id)
            .order_by(TrackVector.track_pk)
        ).all()
        if rows:
            means = np.stack([np.frombuffer(row.vector, STORED) for row in rows])
            self._tagger.write(session, prepared, [row.track_pk for row in rows], means)
        if not is_held(session, claim):
            raise LeaseLost
        return len(rows), wanted[-1]

    def _end(self, claim: LibraryClaim, prepared: Prepared) -> bool:
        """End the job, unless tracks are left that someone else held."""
        with self._database.write() as session:
            if not hold_default(session, prepared.name, prepared.version):
                raise VocabularyChanged
            if session.scalar(_outdated(prepared).limit(1)) is None:
                _forget_unused_labels(session, prepared)
                if not finish(session, claim):
                    raise LeaseLost
                return True
        time.sleep(_BUSY_PAUSE_S)
        return False


def count_tagged(session: Session, prepared: Prepared) -> tuple[int, int]:
    """Tracks whose tags are up to date, and all that have vectors."""
    of_model = select(func.count()).where(TrackVector.model_id == prepared.model_id)
    outdated = select(func.count()).select_from(_outdated(prepared).subquery())
    total = session.scalar(of_model) or 0
    return total - (session.scalar(outdated) or 0), total


def _outdated(prepared: Prepared) -> Select[Any]:
    """The numbers of tracks that have vectors, and no tags made in this very way."""
    tagged = select(TrackTagging.track_pk).where(
        TrackTagging.track_pk == TrackVector.track_pk,
        TrackTagging.model_id == prepared.model_id,
        TrackTagging.recipe == prepared.recipe,
    )
    return select(TrackVector.track_pk).where(
        TrackVector.model_id == prepared.model_id, ~tagged.exists()
    )


def _forget_unused_labels(session: Session, prepared: Prepared) -> None:
    """Labels of other versions under this model, once no track has them."""
    used = select(TagValue.track_pk).where(TagValue.label_pk == TagLabel.pk)
    session.execute(
        delete(TagLabel).where(
            TagLabel.model_id == prepared.model_id,
            (TagLabel.vocabulary != prepared.name) | (TagLabel.version != prepared.version),
            ~used.exists(),
        ),
        execution_options={"synchronize_session": False},
    )
