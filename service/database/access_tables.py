"""The tables of access: who may call, and who changed what."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum

import sqlalchemy as sa
from sqlalchemy import Boolean, CheckConstraint, Float, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from service.database.base import Base, BigKey, JsonObject, utc_now
from service.database.types import UtcDateTime


class ApiKey(Base):
    """A key for the API: only its SHA-256 is stored."""

    __tablename__ = "api_keys"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(100))
    key_sha256: Mapped[str] = mapped_column(String(64), unique=True)
    scopes: Mapped[list[str]] = mapped_column(JsonObject)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    rate_factor: Mapped[float] = mapped_column(Float, default=1.0, server_default=sa.text("1"))
    """How many times the usual rate this key may call."""
    per_address: Mapped[bool] = mapped_column(Boolean, default=False, server_default=sa.false())
    """Count each address that uses this key on its own: for a key that many people share."""


class AuditOutcome(StrEnum):
    """begun -> ok | refused | failed; a row that stays at begun is of a process that died."""

    BEGUN = "begun"
    OK = "ok"
    REFUSED = "refused"
    FAILED = "failed"


class AuditEntry(Base):
    """One attempt to change something. Never holds secrets, texts or file contents."""

    __tablename__ = "audit_log"

    pk: Mapped[int] = mapped_column(BigKey, primary_key=True, autoincrement=True)
    at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)
    actor: Mapped[str] = mapped_column(String(8))
    key_id: Mapped[str | None] = mapped_column(String(32))
    address: Mapped[str | None] = mapped_column(String(64))
    action: Mapped[str] = mapped_column(String(64))
    target: Mapped[str | None] = mapped_column(String(200))
    request_id: Mapped[str | None] = mapped_column(String(64))
    outcome: Mapped[str] = mapped_column(String(8))
    status: Mapped[int | None] = mapped_column(Integer)

    __table_args__ = (
        CheckConstraint("actor IN ('key', 'open', 'local')", name="actor"),
        CheckConstraint("outcome IN ('begun', 'ok', 'refused', 'failed')", name="outcome"),
        Index("ix_audit_log_at_pk", "at", "pk"),
        Index("ix_audit_log_target", "target"),
    )
