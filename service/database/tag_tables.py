"""The tables of tags: label vocabularies, and what a track's labels were found to be.

    vocabularies  1 ── n versions, each a row; one of a name is current, one name is the default
    tag_labels    one row for each label of a vocabulary's version under one model
       └── n tag_values   a track's score, relevance, probability and verdict for that label
    track_taggings        what a track's values under a model were made from

A library of 100,000 tracks and 80 labels has eight million values, so a value names its label by
number. What reads tags uses the joined view in `track_tags`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    REAL,
    Boolean,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    UniqueConstraint,
    false,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from service.database.base import Base, BigKey, JsonObject, utc_now
from service.database.types import UtcDateTime


class Vocabulary(Base):
    """One version of a named list of labels in groups; `content` is what the caller gave."""

    __tablename__ = "vocabularies"

    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    content: Mapped[dict[str, Any]] = mapped_column(JsonObject)
    is_current: Mapped[bool] = mapped_column(Boolean, server_default=false())
    is_default: Mapped[bool] = mapped_column(Boolean, server_default=false())
    created_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (
        Index(
            "uq_vocabularies_current",
            "name",
            unique=True,
            sqlite_where=text("is_current"),
            postgresql_where=text("is_current"),
        ),
        Index(
            "uq_vocabularies_default",
            "is_default",
            unique=True,
            sqlite_where=text("is_default"),
            postgresql_where=text("is_default"),
        ),
    )


class TagLabel(Base):
    """A label that tracks were scored with; labels that no track has any more may stay."""

    __tablename__ = "tag_labels"

    pk: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=True)
    model_id: Mapped[str] = mapped_column(String(64))
    vocabulary: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    group_name: Mapped[str] = mapped_column(String(64))
    label: Mapped[str] = mapped_column(String(200))
    vector: Mapped[bytes] = mapped_column(LargeBinary)  # float32 [E], of its text, unit norm

    __table_args__ = (UniqueConstraint("model_id", "vocabulary", "group_name", "label", "version"),)


class TagValue(Base):
    """What one label is for one track; `probability` is NULL where the model has no calibration."""

    __tablename__ = "tag_values"

    track_pk: Mapped[int] = mapped_column(
        BigKey, ForeignKey("tracks.pk", ondelete="CASCADE"), primary_key=True
    )
    label_pk: Mapped[int] = mapped_column(
        Integer, ForeignKey("tag_labels.pk", ondelete="CASCADE"), primary_key=True
    )
    score: Mapped[float] = mapped_column(REAL)
    relevance: Mapped[float | None] = mapped_column(REAL)
    probability: Mapped[float | None] = mapped_column(REAL)
    assigned: Mapped[bool] = mapped_column(Boolean)

    __table_args__ = (
        # Covers a filter by verdict or by probability, and the counts of a facet.
        Index("ix_tag_values_label", "label_pk", "assigned", "probability", "track_pk"),
        {"sqlite_with_rowid": False},
    )


class TrackTagging(Base):
    """What a track's values were made from: tracks with another `recipe` are tagged again."""

    __tablename__ = "track_taggings"

    track_pk: Mapped[int] = mapped_column(
        BigKey, ForeignKey("tracks.pk", ondelete="CASCADE"), primary_key=True
    )
    model_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    vocabulary: Mapped[str] = mapped_column(String(64))
    version: Mapped[int] = mapped_column(Integer)
    recipe: Mapped[str] = mapped_column(String(64))
    tagged_at: Mapped[datetime] = mapped_column(UtcDateTime, default=utc_now)

    __table_args__ = (Index("ix_track_taggings_recipe", "model_id", "recipe"),)
