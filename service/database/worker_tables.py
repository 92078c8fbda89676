"""The table of workers: who does the jobs, with which models, and why somebody cannot."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

from sqlalchemy import CheckConstraint, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from service.database.base import Base, JsonObject, utc_now
from service.database.types import UtcDateTime


class WorkerState(StrEnum):
    """loading -> ready | failed; failed -> loading when its process tries again."""

    LOADING = "loading"
    READY = "ready"
    FAILED = "failed"


class WorkerRow(Base):
    """One worker, by the name that its leases carry; it says again and again that it is there.

    A worker that ends in order takes its row away. One that was killed falls silent at
    `alive_until`. A failed one stays for a while, so that somebody can read why.
    """

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    host: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(8), default=WorkerState.LOADING)
    model_ids: Mapped[list[str]] = mapped_column(JsonObject, default=list)
    problem: Mapped[str | None] = mapped_column(Text)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    alive_until: Mapped[datetime] = mapped_column(UtcDateTime)

    __table_args__ = (
        CheckConstraint("role IN ('service', 'worker')", name="role"),
        CheckConstraint("state IN ('loading', 'ready', 'failed')", name="state"),
    )
