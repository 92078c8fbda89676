"""The vectors of SQL as an index wants them: batches of (ids [N], vectors [N, E]).

Legend: N vectors, E embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Row, Select, func, select
from sqlalchemy.orm import Session

from indexer.base import Ids, Vectors, no_ids, no_vectors
from service.database.tables import CLIP_BITS, Clip, TrackVector
from service.database.vectors import unpack_vectors

Batch = tuple[Ids, Vectors]

_BATCH = 4_096


@dataclass(frozen=True)
class Counts:
    """How many vectors SQL holds for a model."""

    tracks: int
    clips: int


def count_vectors(session: Session, model_id: str) -> Counts:
    """Counted on the small table alone: each track's row knows its number of clips."""
    query = select(func.count(), func.coalesce(func.sum(TrackVector.clip_count), 0))
    row = session.execute(query.where(TrackVector.model_id == model_id)).one()
    return Counts(int(row[0]), int(row[1]))


def count_clips(session: Session, model_id: str, pks: Sequence[int]) -> dict[int, int]:
    """The number of clips of each of these tracks that has any."""
    query = select(TrackVector.track_pk, TrackVector.clip_count).where(
        TrackVector.model_id == model_id, TrackVector.track_pk.in_(pks)
    )
    return {row.track_pk: row.clip_count for row in session.execute(query)}


def track_batches(
    session: Session, model_id: str, embed_dim: int, pks: Sequence[int] | None = None
) -> Iterator[Batch]:
    """Mean vectors by track number; of all tracks, or of these."""
    query = (
        select(TrackVector.track_pk, TrackVector.vector)
        .where(TrackVector.model_id == model_id)
        .order_by(TrackVector.track_pk)
    )
    if pks is not None:
        query = query.where(TrackVector.track_pk.in_(pks))
    for rows in _parts(session, query):
        yield _batch([row.track_pk for row in rows], rows, embed_dim)


def clip_batches(
    session: Session, model_id: str, embed_dim: int, pks: Sequence[int] | None = None
) -> Iterator[Batch]:
    """Clip vectors by `pk << 20 | position`; of all tracks, or of these."""
    query = (
        select(Clip.track_pk, Clip.position, Clip.vector)
        .where(Clip.model_id == model_id)
        .order_by(Clip.track_pk, Clip.position)
    )
    if pks is not None:
        query = query.where(Clip.track_pk.in_(pks))
    for rows in _parts(session, query):
        yield _batch([row.track_pk << CLIP_BITS | row.position for row in rows], rows, embed_dim)


def joined(batches: Iterator[Batch], embed_dim: int) -> Batch:
    """All batches as one; for a few tracks."""
    parts = list(batches)
    if not parts:
        return no_ids(), no_vectors(embed_dim)
    return np.concatenate([ids for ids, _ in parts]), np.concatenate([rows for _, rows in parts])


def _parts(
    session: Session, query: Select[*tuple[Any, ...]]
) -> Iterator[Sequence[Row[*tuple[Any, ...]]]]:
    """Rows in parts, fetched as they are used: all vectors at once may not fit into memory."""
    yield from session.execute(query.execution_options(yield_per=_BATCH)).partitions()


def _batch(ids: list[int], rows: Sequence[Row[*tuple[Any, ...]]], embed_dim: int) -> Batch:
    vectors = unpack_vectors([row.vector for row in rows], embed_dim)
    return np.array(ids, dtype=np.int64), vectors
