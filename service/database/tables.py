"""The SQL schema: the truth that every index is projected from.

    tracks 1 ── n clips             one row and one float16 vector per 10 s clip and model
       │   └──── n track_vectors    their mean, per model
       └──────── n jobs             work on a track, claimed by a lease
    index_changes                   the ordered log that indexes replay (see service/index_sync)
    service_state, served_models
    keys and the audit log          see access_tables, which is part of this schema
    vocabularies and tags           see tag_tables, which is part of this schema
    imports and their files         see import_tables, which is part of it too
    workers                         see worker_tables

"model" means a network everywhere in this project: these classes are tables.
Vector ids in an index: a track's is its `pk`; a clip's is `pk << 20 | position`.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Connection,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
    event,
    false,
    inspect,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship, validates

from service.database.access_tables import ApiKey as ApiKey
from service.database.access_tables import AuditEntry as AuditEntry
from service.database.access_tables import AuditOutcome as AuditOutcome
from service.database.base import Base as Base
from service.database.base import BigKey, JsonObject, utc_now
from service.database.extra_values import FoldedText, add_extra, replace_extra
from service.database.extra_values import TrackExtra as TrackExtra
from service.database.folding import folded_key
from service.database.import_tables import Import as Import
from service.database.import_tables import ImportItem as ImportItem
from service.database.import_tables import WaitingEmbedding as WaitingEmbedding
from service.database.import_tables import WebhookDelivery as WebhookDelivery
from service.database.tag_tables import TagLabel as TagLabel
from service.database.tag_tables import TagValue as TagValue
from service.database.tag_tables import TrackTagging as TrackTagging
from service.database.tag_tables import Vocabulary as Vocabulary
from service.database.types import UtcDateTime
from service.database.worker_tables import WorkerRow as WorkerRow

CLIP_BITS = 20
"""Low bits of a clip's vector id that hold its position: up to 1,048,576 clips a track."""


class TrackState(StrEnum):
    """pending -> ready | failed; a new try of a failed track is pending again."""

    PENDING = "pending"
    READY = "ready"
    FAILED = "failed"


class JobState(StrEnum):
    """queued -> running -> done | failed; queued or running -> cancelled.

    A running job whose lease ran out is claimed again by another worker, until its attempts are
    used up. A failed or cancelled job goes back to queued only when someone asks for it.
    """

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Track(Base):
    """One uploaded file; `id` is public, `pk` is the number that indexes use."""

    __tablename__ = "tracks"

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    id: Mapped[str] = mapped_column(String(32), unique=True)
    sha256: Mapped[str] = mapped_column(String(64), unique=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    filename: Mapped[str] = mapped_column(String(255))
    media_type: Mapped[str] = mapped_column(String(100))
    format: Mapped[str | None] = mapped_column(String(50))
    codec: Mapped[str | None] = mapped_column(String(50))
    sample_rate_hz: Mapped[int | None] = mapped_column(Integer)
    channels: Mapped[int | None] = mapped_column(Integer)
    duration_s: Mapped[float | None] = mapped_column(Float)
    analysed_s: Mapped[float | None] = mapped_column(Float)

    title: Mapped[str | None] = mapped_column(String(500))
    artist: Mapped[str | None] = mapped_column(String(500))
    album: Mapped[str | None] = mapped_column(String(500))
    genre: Mapped[str | None] = mapped_column(String(200))
    year: Mapped[int | None] = mapped_column(Integer)
    licence: Mapped[str | None] = mapped_column(String(200))
    attribution: Mapped[str | None] = mapped_column(String(1000))
    extra: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    # The same names folded (see `folding`), for equality, order and counts.
    title_key: Mapped[str | None] = mapped_column(FoldedText)
    artist_key: Mapped[str | None] = mapped_column(FoldedText)
    album_key: Mapped[str | None] = mapped_column(FoldedText)
    genre_key: Mapped[str | None] = mapped_column(FoldedText)

    state: Mapped[str] = mapped_column(String(16), default=TrackState.PENDING)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    warnings: Mapped[list[str]] = mapped_column(JsonObject, default=list)
    peaks: Mapped[bytes | None] = mapped_column(LargeBinary)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)

    jobs: Mapped[list[Job]] = relationship(back_populates="track", passive_deletes=True)

    __table_args__ = (
        CheckConstraint("state IN ('pending', 'ready', 'failed')", name="state"),
        Index("ix_tracks_added_at_pk", "added_at", "pk"),
        Index("ix_tracks_state", "state"),
        Index("ix_tracks_title_key_pk", "title_key", "pk"),
        Index("ix_tracks_artist_key_pk", "artist_key", "pk"),
        Index("ix_tracks_album_key_pk", "album_key", "pk"),
        Index("ix_tracks_genre_key_pk", "genre_key", "pk"),
        Index("ix_tracks_year_pk", "year", "pk"),
        Index("ix_tracks_duration_s_pk", "duration_s", "pk"),
        # Holds what most filters ask of a track, in a tenth of the bytes of its row.
        Index(
            "ix_tracks_filter",
            "state",
            "genre_key",
            "artist_key",
            "album_key",
            "year",
            "duration_s",
            "added_at",
        ),
        # Never hand out a number twice: an index may still hold the vectors of a deleted track.
        {"sqlite_autoincrement": True},
    )

    @validates("title", "artist", "album", "genre")
    def _fold(self, name: str, value: str | None) -> str | None:
        setattr(self, f"{name}_key", folded_key(value))
        return value


@event.listens_for(Track, "after_insert")
def _add_extra(_mapper: object, connection: Connection, track: Track) -> None:
    add_extra(connection, track.pk, track.extra or {})


@event.listens_for(Track, "after_update")
def _replace_extra(_mapper: object, connection: Connection, track: Track) -> None:
    if inspect(track).attrs.extra.history.has_changes():
        replace_extra(connection, track.pk, track.extra or {})


class Clip(Base):
    """One 10 s window of a track and its vector (float16, unit norm) under one model."""

    __tablename__ = "clips"

    track_pk: Mapped[int] = mapped_column(
        ForeignKey("tracks.pk", ondelete="CASCADE"), primary_key=True
    )
    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    position: Mapped[int] = mapped_column(Integer, primary_key=True)
    start_s: Mapped[float] = mapped_column(Float)
    end_s: Mapped[float] = mapped_column(Float)
    vector: Mapped[bytes] = mapped_column(LargeBinary)


class TrackVector(Base):
    """The mean of a track's clip vectors (float16, not renormalised) under one model."""

    __tablename__ = "track_vectors"

    track_pk: Mapped[int] = mapped_column(
        ForeignKey("tracks.pk", ondelete="CASCADE"), primary_key=True
    )
    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    clip_count: Mapped[int] = mapped_column(Integer)
    vector: Mapped[bytes] = mapped_column(LargeBinary)

    # Counts the clips behind a filter without reading a vector.
    __table_args__ = (Index("ix_track_vectors_clip_count", "model_id", "track_pk", "clip_count"),)


class Job(Base):
    """A unit of work, on a track or (without one) on the library; claimed by lease, fenced."""

    __tablename__ = "jobs"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), default="embed")
    track_pk: Mapped[int | None] = mapped_column(ForeignKey("tracks.pk", ondelete="CASCADE"))
    model_id: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default=JobState.QUEUED)
    priority: Mapped[int] = mapped_column(Integer, default=0)  # smaller numbers go first
    held: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    run_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    owner: Mapped[str | None] = mapped_column(String(64))
    lease_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    max_attempts: Mapped[int] = mapped_column(Integer, default=3)
    progress: Mapped[float] = mapped_column(Float, default=0.0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    finished_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now, onupdate=utc_now)

    track: Mapped[Track | None] = relationship(back_populates="jobs")

    __table_args__ = (
        UniqueConstraint("kind", "track_pk", "model_id"),
        Index(
            "uq_jobs_library",
            "kind",
            "model_id",
            unique=True,
            sqlite_where=text("track_pk IS NULL"),
            postgresql_where=text("track_pk IS NULL"),
        ),
        CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')", name="state"
        ),
        Index("ix_jobs_claim", "state", "held", "priority", "run_at"),
        Index("ix_jobs_track_pk", "track_pk"),
        Index("ix_jobs_updated_at", "updated_at"),
        Index("ix_jobs_created_at_id", "created_at", "id"),
    )


class IndexChange(Base):
    """One publish or delete, numbered in commit order. Rows are never purged.

    `seq` is given under a lock at publish time, because a PostgreSQL sequence is not commit order.
    """

    __tablename__ = "index_changes"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    op: Mapped[str] = mapped_column(String(8))
    track_pk: Mapped[int] = mapped_column(BigInteger)
    model_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (CheckConstraint("op IN ('publish', 'delete')", name="op"),)


class ServiceState(Base):
    """Single values that all processes share, such as `demo_offered`."""

    __tablename__ = "service_state"

    key: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[str] = mapped_column(Text)


class ServedModel(Base):
    """A model that this library was or is to be analysed under; `source` None is the default."""

    __tablename__ = "served_models"

    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    source: Mapped[str | None] = mapped_column(Text)
    name: Mapped[str] = mapped_column(String(200))
    licence: Mapped[str] = mapped_column(String(200))
    embed_dim: Mapped[int] = mapped_column(Integer)
    added_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
