"""Rows for tests that need no upload."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from service.database.tables import Clip, Track, TrackState, TrackVector
from service.database.vectors import pack_vectors
from service.ids import new_id
from service.index_sync.changes import append_change
from tests.support.encoder import EMBED_DIM, MODEL_ID


def new_track(session: Session, **values: Any) -> Track:
    """A pending track of its own bytes, flushed."""
    track_id = new_id()
    defaults: dict[str, Any] = {
        "id": track_id,
        "sha256": hashlib.sha256(track_id.encode()).hexdigest(),
        "size_bytes": 1000,
        "filename": "a.mp3",
        "media_type": "audio/mpeg",
    }
    track = Track(**{**defaults, **values})
    session.add(track)
    session.flush()
    return track


def publish_vectors(
    session: Session,
    track: Track,
    vectors: np.ndarray[Any, np.dtype[np.float32]],
    model_id: str = MODEL_ID,
) -> int:
    """Make a track ready with these clip vectors [N, E], as a job would; returns the change."""
    packed = pack_vectors(vectors)
    for position, vector in enumerate(packed):
        start_s = 10.0 * position
        session.add(
            Clip(
                track_pk=track.pk,
                model_id=model_id,
                position=position,
                start_s=start_s,
                end_s=start_s + 10.0,
                vector=vector,
            )
        )
    (mean,) = pack_vectors(vectors.astype(np.float16).astype(np.float32).mean(axis=0)[np.newaxis])
    session.add(
        TrackVector(track_pk=track.pk, model_id=model_id, clip_count=len(packed), vector=mean)
    )
    track.state = TrackState.READY
    session.flush()
    return append_change(session, "publish", track.pk, model_id)


def random_vectors(count: int, seed: int) -> np.ndarray[Any, np.dtype[np.float32]]:
    """[N, E], unit norm."""
    vectors = np.random.default_rng(seed).standard_normal((count, EMBED_DIM))
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
