"""What every table of the schema is declared with."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import JSON, BigInteger, Integer, MetaData
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase

# A bare BIGINT does not count upwards by itself on SQLite; INTEGER does, and is 64 bits there.
BigKey = BigInteger().with_variant(Integer(), "sqlite")
JsonObject = JSON().with_variant(JSONB(), "postgresql")


UNMAPPED_TABLE = "track_search"
"""The words of tracks: a full-text table that each database has in its own form, without a class
here. On SQLite further tables of its own begin with its name."""


def utc_now() -> datetime:
    return datetime.now(UTC)


def is_mapped(name: str | None, type_: str, _parents: Any) -> bool:
    """For Alembic's `include_name`: whether what a database holds should have a class here."""
    return type_ != "table" or name is None or not name.startswith(UNMAPPED_TABLE)


class Base(DeclarativeBase):
    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
