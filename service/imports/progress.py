"""How far a batch is, how fast it goes and when it will be done: counted, never kept as counters.

The speed is that of the last files which were really analysed (duplicates cost nothing, and would
promise too much), since the batch was last resumed. What is left is measured in bytes, because a
file's length in seconds is not known before it was opened.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.database.engine import database_now
from service.database.import_tables import (
    OPEN_ITEMS,
    Import,
    ImportItem,
    ImportState,
    ItemState,
)

SPEED_FILES = 100
"""Files over which the speed is measured."""


@dataclass(frozen=True)
class Progress:
    """Counts per state (each state named), and sums over the batch's files.

    `audio_hours_per_hour` and `eta_s` are None where nothing was analysed yet to measure by.
    """

    counts: dict[str, int]
    size_bytes: int
    audio_s: float
    active_s: float
    audio_hours_per_hour: float | None
    eta_s: float | None

    @property
    def total(self) -> int:
        return sum(self.counts.values())

    @property
    def open(self) -> int:
        return sum(self.counts[state] for state in OPEN_ITEMS)


@dataclass(frozen=True)
class Sums:
    """What the files of one batch in one state add up to."""

    files: int
    size_bytes: int
    audio_s: float


@dataclass(frozen=True)
class Speed:
    """What was analysed within a span of time."""

    files: int
    size_bytes: int
    audio_s: float
    span_s: float


def measure(session: Session, batches: Collection[Import]) -> dict[str, Progress]:
    """The progress of these batches by their id."""
    now = database_now(session)
    sums = _sums(session, [batch.id for batch in batches])
    return {
        batch.id: _progress(batch, sums[batch.id], _speed(session, batch, now), now)
        for batch in batches
    }


def _progress(batch: Import, sums: dict[str, Sums], speed: Speed, now: datetime) -> Progress:
    done = sums[ItemState.DONE]
    active_s = batch.active_s
    if batch.state == ImportState.RUNNING:
        active_s += max((now - batch.resumed_at).total_seconds(), 0.0)
    rate = None
    if batch.state == ImportState.RUNNING and speed.span_s > 0 and speed.files:
        rate = speed.audio_s / speed.span_s
    elif batch.state != ImportState.RUNNING and done.files and active_s > 0:
        rate = done.audio_s / active_s
    return Progress(
        counts={state: sums[state].files for state in sums},
        size_bytes=sum(each.size_bytes for each in sums.values()),
        audio_s=done.audio_s,
        active_s=active_s,
        audio_hours_per_hour=rate,
        eta_s=_eta_s(batch, sums, speed),
    )


def _eta_s(batch: Import, sums: dict[str, Sums], speed: Speed) -> float | None:
    if batch.state in (ImportState.DONE, ImportState.CANCELLED):
        return 0.0
    if batch.state != ImportState.RUNNING or not speed.files or speed.span_s <= 0:
        return None
    left_bytes = sum(sums[state].size_bytes for state in OPEN_ITEMS)
    if speed.size_bytes and left_bytes:
        return left_bytes / (speed.size_bytes / speed.span_s)
    left_files = sum(sums[state].files for state in OPEN_ITEMS)
    return left_files / (speed.files / speed.span_s)


def _sums(session: Session, ids: Collection[str]) -> dict[str, dict[str, Sums]]:
    found = {import_id: {str(state): Sums(0, 0, 0.0) for state in ItemState} for import_id in ids}
    rows = session.execute(
        select(
            ImportItem.import_id,
            ImportItem.state,
            func.count(),
            func.sum(ImportItem.size_bytes),
            func.sum(ImportItem.duration_s),
        )
        .where(ImportItem.import_id.in_(ids))
        .group_by(ImportItem.import_id, ImportItem.state)
    )
    for import_id, state, files, size_bytes, audio_s in rows:
        found[import_id][state] = Sums(files, int(size_bytes or 0), float(audio_s or 0.0))
    return found


def _speed(session: Session, batch: Import, now: datetime) -> Speed:
    """Over the last files since the batch was resumed; the oldest only marks when they began."""
    newest = (
        select(ImportItem.ended_at, ImportItem.size_bytes, ImportItem.duration_s)
        .where(
            ImportItem.import_id == batch.id,
            ImportItem.ended_at > batch.resumed_at,
            ImportItem.state == ItemState.DONE,
        )
        .order_by(ImportItem.ended_at.desc())
        .limit(SPEED_FILES + 1)
    )
    rows = list(session.execute(newest)) if batch.state == ImportState.RUNNING else []
    since = batch.resumed_at
    if len(rows) > SPEED_FILES:
        since = rows.pop().ended_at
    return Speed(
        files=len(rows),
        size_bytes=sum(row.size_bytes or 0 for row in rows),
        audio_s=sum(row.duration_s or 0.0 for row in rows),
        span_s=(now - since).total_seconds(),
    )
