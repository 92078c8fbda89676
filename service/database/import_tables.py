"""The tables of ingest: batches, their files, their webhooks, and embeddings made elsewhere.

imports 1 ── n import_items        one row per file, whatever became of it
   └──────── n webhook_deliveries  what a batch's end still has to tell, and how that went
waiting_embeddings                 vectors that wait for a file with the same bytes
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.database.base import Base, BigKey, JsonObject, utc_now
from service.database.types import UtcDateTime


class ImportState(StrEnum):
    """running <-> paused; running -> done; running or paused -> cancelled.

    done goes back to running when its failed files are tried again. A batch is done once its list
    of files is complete (`listed_at`) and each file has ended.
    """

    RUNNING = "running"
    PAUSED = "paused"
    DONE = "done"
    CANCELLED = "cancelled"


class ItemState(StrEnum):
    """waiting -> queued -> done | failed | cancelled; waiting -> duplicate | failed | cancelled.

    waiting: known, its bytes not taken in yet. queued: stored, its track's job is open. failed goes
    back to waiting or queued when it is tried again.
    """

    WAITING = "waiting"
    QUEUED = "queued"
    DONE = "done"
    DUPLICATE = "duplicate"
    FAILED = "failed"
    CANCELLED = "cancelled"


OPEN_ITEMS = (ItemState.WAITING, ItemState.QUEUED)


class Import(Base):
    """A batch of files, from a folder of the server or sent by a client."""

    __tablename__ = "imports"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    source: Mapped[str] = mapped_column(String(16))
    name: Mapped[str | None] = mapped_column(String(200))
    reference: Mapped[str | None] = mapped_column(String(100))
    folder: Mapped[str | None] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default=ImportState.RUNNING)
    ignored_files: Mapped[int] = mapped_column(Integer, default=0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    webhook_url: Mapped[str | None] = mapped_column(Text)
    webhook_secret: Mapped[str | None] = mapped_column(String(200))
    owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    active_s: Mapped[float] = mapped_column(Float, default=0.0)  # up to `resumed_at`
    resumed_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    listed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)

    __table_args__ = (
        CheckConstraint("source IN ('folder', 'upload')", name="source"),
        CheckConstraint("state IN ('running', 'paused', 'done', 'cancelled')", name="state"),
        Index("ix_imports_created_at_id", "created_at", "id"),
        Index("ix_imports_reference", "reference"),
        Index("ix_imports_state", "state"),
        Index("ix_imports_updated_at", "updated_at"),
    )


class ImportItem(Base):
    """One file of a batch; `path` is for people, `path_bytes` opens a folder's file again."""

    __tablename__ = "import_items"

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    import_id: Mapped[str] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    item_key: Mapped[str] = mapped_column(String(64))
    path: Mapped[str] = mapped_column(Text)
    path_bytes: Mapped[bytes | None] = mapped_column(LargeBinary)
    state: Mapped[str] = mapped_column(String(16), default=ItemState.WAITING)
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)
    duration_s: Mapped[float | None] = mapped_column(Float)
    track_pk: Mapped[int | None] = mapped_column(
        BigKey, ForeignKey("tracks.pk", ondelete="SET NULL")
    )
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)

    __table_args__ = (
        UniqueConstraint("import_id", "item_key"),
        CheckConstraint(
            "state IN ('waiting', 'queued', 'done', 'duplicate', 'failed', 'cancelled')",
            name="state",
        ),
        # Pages in order, and covers the counts and sums of a batch of 100,000 files.
        Index("ix_import_items_state", "import_id", "state", "pk", "size_bytes", "duration_s"),
        Index("ix_import_items_ended_at", "import_id", "ended_at"),
        Index("ix_import_items_track_pk", "track_pk"),
        Index("ix_import_items_updated_at", "updated_at"),
    )


class DeliveryState(StrEnum):
    """pending -> delivered | failed."""

    PENDING = "pending"
    DELIVERED = "delivered"
    FAILED = "failed"


class WebhookDelivery(Base):
    """One message to a batch's webhook; `body` stays the same over all tries, `log` tells them."""

    __tablename__ = "webhook_deliveries"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    import_id: Mapped[str] = mapped_column(ForeignKey("imports.id", ondelete="CASCADE"))
    body: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.PENDING)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    next_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    log: Mapped[list[dict[str, Any]]] = mapped_column(JsonObject, default=list)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (
        CheckConstraint("state IN ('pending', 'delivered', 'failed')", name="state"),
        Index("ix_webhook_deliveries_due", "state", "next_at"),
        Index("ix_webhook_deliveries_import_id", "import_id"),
    )


class WaitingEmbedding(Base):
    """What another installation's analysis of these bytes found; used instead of a new one."""

    __tablename__ = "waiting_embeddings"

    sha256: Mapped[str] = mapped_column(String(64), primary_key=True)
    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    clip_count: Mapped[int] = mapped_column(Integer)
    starts_s: Mapped[bytes] = mapped_column(LargeBinary)  # float64, little-endian
    ends_s: Mapped[bytes] = mapped_column(LargeBinary)
    vectors: Mapped[bytes] = mapped_column(LargeBinary)  # float16 [N, E], little-endian
    peaks: Mapped[bytes] = mapped_column(LargeBinary)
    analysed_s: Mapped[float] = mapped_column(Float)
    warnings: Mapped[list[str]] = mapped_column(JsonObject, default=list)
    track_values: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
