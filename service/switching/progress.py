"""How far a change of model is, and how long it will take by the speed measured so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from service.database.engine import database_now
from service.database.tables import Job, JobState, Track, TrackState, TrackVector
from service.jobs.queue import EMBED

_RECENT_JOBS = 20
_FEWEST_JOBS = 3
_STALE_S = 600.0  # a speed from before a long pause says nothing


@dataclass(frozen=True)
class SwitchProgress:
    """Of the tracks that can be searched now: how many have vectors of the next model.

    `failed` ones could not be analysed under it. `eta_s` is None until enough tracks were done.
    """

    total: int
    done: int
    failed: int
    remaining_s: float
    speed: float | None

    @property
    def share(self) -> float:
        return 1.0 if self.total == 0 else self.done / self.total

    @property
    def eta_s(self) -> float | None:
        return None if not self.speed else self.remaining_s / self.speed


def missing_tracks(model_id: str) -> Select[Any]:
    """Numbers of ready tracks that have no vectors of this model."""
    has_vector = select(TrackVector.track_pk).where(
        TrackVector.track_pk == Track.pk, TrackVector.model_id == model_id
    )
    return select(Track.pk).where(Track.state == TrackState.READY, ~has_vector.exists())


def read_progress(session: Session, model_id: str) -> SwitchProgress:
    total = session.scalar(select(func.count()).where(Track.state == TrackState.READY)) or 0
    missing = missing_tracks(model_id).subquery()
    query = (
        select(func.count(), func.coalesce(func.sum(Track.duration_s), 0.0))
        .select_from(missing)
        .join(Track, Track.pk == missing.c.pk)
    )
    left, left_s = session.execute(query).one()
    ended = (JobState.FAILED, JobState.CANCELLED)
    failed = session.scalar(
        select(func.count())
        .select_from(missing)
        .join(Job, Job.track_pk == missing.c.pk)
        .where(Job.kind == EMBED, Job.model_id == model_id, Job.state.in_(ended))
    )
    speed = _speed(session, model_id)
    return SwitchProgress(total, total - left, failed or 0, float(left_s or 0.0), speed)


def _speed(session: Session, model_id: str) -> float | None:
    """Seconds of music analysed in a second, by the jobs that ended last."""
    rows = session.execute(
        select(Job.finished_at, Track.duration_s)
        .join(Track, Track.pk == Job.track_pk)
        .where(Job.kind == EMBED, Job.model_id == model_id, Job.state == JobState.DONE)
        .order_by(Job.finished_at.desc())
        .limit(_RECENT_JOBS)
    ).all()
    if len(rows) < _FEWEST_JOBS:
        return None
    return _rate([(row[0], row[1]) for row in rows], database_now(session))


def _rate(rows: Sequence[tuple[datetime | None, float | None]], now: datetime) -> float | None:
    """Newest first. The oldest only marks the time from which the others are counted."""
    newest, oldest = rows[0][0], rows[-1][0]
    if newest is None or oldest is None or (now - newest).total_seconds() > _STALE_S:
        return None
    took_s = (newest - oldest).total_seconds()
    music_s = sum(duration_s or 0.0 for _, duration_s in rows[:-1])
    return music_s / took_s if took_s > 0 and music_s > 0 else None
