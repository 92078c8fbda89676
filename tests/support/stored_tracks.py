"""Tracks put straight into SQL, for tests that are about asking and not about uploading."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.database.engine import Database
from service.database.tables import Clip, Track, TrackState, TrackVector
from service.database.vectors import pack_vectors
from service.ids import new_id
from service.index_sync.changes import append_change
from tests.support.encoder import MODEL_ID

CLIP_S = 10.0


def add_ready_track(
    database: Database,
    clips: NDArray[np.float32],
    *,
    model_id: str = MODEL_ID,
    **fields: Any,
) -> Track:
    """A ready track with these unit clip vectors [N, E], published to the index."""
    public_id = new_id()
    duration_s = CLIP_S * len(clips)
    values = {
        "id": public_id,
        "sha256": public_id.encode().hex().ljust(64, "0")[:64],
        "size_bytes": 1,
        "filename": f"{public_id}.wav",
        "media_type": "audio/wav",
        "duration_s": duration_s,
        "analysed_s": duration_s,
        "state": TrackState.READY,
        "extra": {},
        "warnings": [],
    }
    stored = np.stack([np.frombuffer(row, "<f2") for row in pack_vectors(clips)])
    with database.write() as session:
        track = Track(**(values | fields))
        session.add(track)
        session.flush()
        for position, vector in enumerate(pack_vectors(clips)):
            session.add(
                Clip(
                    track_pk=track.pk,
                    model_id=model_id,
                    position=position,
                    start_s=CLIP_S * position,
                    end_s=CLIP_S * (position + 1),
                    vector=vector,
                )
            )
        (mean,) = pack_vectors(stored.astype(np.float32).mean(axis=0)[np.newaxis])
        session.add(
            TrackVector(track_pk=track.pk, model_id=model_id, clip_count=len(clips), vector=mean)
        )
        append_change(session, "publish", track.pk, model_id)
    return track


def random_clips(rng: np.random.Generator, count: int, embed_dim: int) -> NDArray[np.float32]:
    """Unit vectors [count, embed_dim]."""
    rows = rng.standard_normal((count, embed_dim)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def stored_floats(values: Sequence[bytes]) -> NDArray[np.float64]:
    """Vectors [N, E] as SQL holds them."""
    return np.stack([np.frombuffer(value, "<f2") for value in values]).astype(np.float64)
