"""The tags of tracks with their names, for everything that reads them.

    select(TrackTag.track_pk).where(
        TrackTag.model_id == model_id, TrackTag.vocabulary == default_name,
        TrackTag.group_name == "mood", TrackTag.label == "calm", TrackTag.assigned)

A track's values under one model are replaced as a whole, so they are of one version at a time.
While a library is tagged again, some tracks still have the labels of the version before.
"""

from __future__ import annotations

from sqlalchemy import join
from sqlalchemy.orm import Mapped, column_property

from service.database.tables import Base, TagLabel, TagValue


class TrackTag(Base):
    """A stored tag with its names: values joined with their labels, for reading only."""

    __table__ = join(TagValue.__table__, TagLabel.__table__)

    label_pk = column_property(TagValue.__table__.c.label_pk, TagLabel.__table__.c.pk)
    track_pk: Mapped[int]
    model_id: Mapped[str]
    vocabulary: Mapped[str]
    version: Mapped[int]
    group_name: Mapped[str]
    label: Mapped[str]
    score: Mapped[float]
    relevance: Mapped[float | None]
    probability: Mapped[float | None]
    assigned: Mapped[bool]
