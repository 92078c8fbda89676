"""Vectors that wait for a file with the same bytes, under the model that made them.

Whoever analyses a track looks here first; what it finds is used instead of decoding and embedding,
and is gone in the transaction that publishes the track.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from service.database.tables import WaitingEmbedding
from service.database.vectors import STORED
from service.exchange.tracks import SECONDS, ExportedTrack


@dataclass(frozen=True, eq=False)
class WaitingTrack:
    """Vectors float16 [N, E]; starts and ends in seconds [N]."""

    vectors: NDArray[np.float16]
    starts_s: list[float]
    ends_s: list[float]
    peaks: bytes
    analysed_s: float
    warnings: frozenset[str]


def store_waiting(session: Session, model_id: str, tracks: Sequence[ExportedTrack]) -> None:
    """Keep these until their files come; replaces what waits for the same bytes."""
    hashes = [track.sha256 for track in tracks]
    session.execute(
        delete(WaitingEmbedding).where(
            WaitingEmbedding.model_id == model_id, WaitingEmbedding.sha256.in_(hashes)
        )
    )
    session.add_all(_row(model_id, track) for track in tracks)
    session.flush()


def find_waiting(session: Session, sha256: str, model_id: str) -> WaitingTrack | None:
    row = session.get(WaitingEmbedding, (sha256, model_id))
    if row is None:
        return None
    vectors = np.frombuffer(row.vectors, STORED).reshape(row.clip_count, -1)
    return WaitingTrack(
        vectors=vectors,
        starts_s=np.frombuffer(row.starts_s, SECONDS).tolist(),
        ends_s=np.frombuffer(row.ends_s, SECONDS).tolist(),
        peaks=row.peaks,
        analysed_s=row.analysed_s,
        warnings=frozenset(row.warnings),
    )


def find_waiting_values(session: Session, sha256: str) -> dict[str, Any]:
    """What was known of these bytes where they come from: fields that were set, or {}."""
    query = select(WaitingEmbedding.track_values).where(WaitingEmbedding.sha256 == sha256).limit(1)
    values = session.scalar(query) or {}
    return {name: value for name, value in values.items() if value not in (None, {})}


def drop_waiting(session: Session, sha256: str, model_id: str) -> None:
    session.execute(
        delete(WaitingEmbedding).where(
            WaitingEmbedding.sha256 == sha256, WaitingEmbedding.model_id == model_id
        )
    )


def count_waiting(session: Session) -> tuple[int, int]:
    """How many wait, and the bytes of their vectors."""
    size = func.coalesce(func.sum(func.length(WaitingEmbedding.vectors)), 0)
    count, size_bytes = session.execute(
        select(func.count(), size).select_from(WaitingEmbedding)
    ).one()
    return int(count), int(size_bytes)


def drop_all_waiting(session: Session) -> None:
    session.execute(delete(WaitingEmbedding))


def _row(model_id: str, track: ExportedTrack) -> WaitingEmbedding:
    return WaitingEmbedding(
        sha256=track.sha256,
        model_id=model_id,
        clip_count=len(track.vectors),
        starts_s=track.starts_s.astype(SECONDS).tobytes(),
        ends_s=track.ends_s.astype(SECONDS).tobytes(),
        vectors=track.vectors.astype(STORED).tobytes(),
        peaks=track.peaks,
        analysed_s=track.analysed_s,
        warnings=list(track.warnings),
        track_values=track.values,
    )
