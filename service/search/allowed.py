"""The tracks that pass a filter, read from SQL before anything is ranked.

An index that is asked for the best hits and filtered afterwards loses most of them behind a narrow
filter. So the index is told which vectors may be hits.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.database.tables import CLIP_BITS, Track, TrackState, TrackVector
from service.filtering.conditions import condition
from service.filtering.nodes import Filter, asks_tags
from service.filtering.tag_scope import read_tag_scope

Ids = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class AllowedTracks:
    """Ready tracks [N] that pass, ascending, and how many clips each of them has."""

    pks: Ids
    clip_counts: Ids

    def clip_ids(self) -> Ids:
        """The vector ids of all their clips, ascending."""
        starts = np.cumsum(self.clip_counts) - self.clip_counts
        positions = np.arange(int(self.clip_counts.sum()), dtype=np.int64)
        positions -= np.repeat(starts, self.clip_counts)
        return (np.repeat(self.pks, self.clip_counts) << CLIP_BITS) | positions


def read_allowed(session: Session, node: Filter, model_id: str) -> AllowedTracks:
    """The ready tracks that pass a filter and were analysed with this model."""
    tags = read_tag_scope(session, model_id) if asks_tags(node) else None
    rows = session.execute(
        select(Track.pk, TrackVector.clip_count)
        .join(TrackVector, TrackVector.track_pk == Track.pk)
        .where(
            TrackVector.model_id == model_id,
            Track.state == TrackState.READY,
            condition(node, tags),
        )
    )
    table = np.array([tuple(row) for row in rows.all()], dtype=np.int64).reshape(-1, 2)
    table = table[np.argsort(table[:, 0])]
    return AllowedTracks(table[:, 0], table[:, 1])
