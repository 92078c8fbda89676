"""Which tracks of a ranking are the same music as another: by their vectors and their length.

Legend: E embedding width, S shown tracks.

Two files of one recording (another codec, level, or a second cut off) have nearly the same length,
and nearly parallel vectors or the same title and artist. Names are needed beside vectors, because
a codec that cuts the treble off changes a vector more than another piece may differ: see the
measurement in docs/ranking.md. Copies are left out of an answer, never merged: what is alike to a
model need not be one thing to its owner.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.interface import Vectors
from service.database.tables import Track
from service.search.vectors import track_vectors

COPY_COSINE = 0.985
LENGTH_TOLERANCE_S = 3.0
LENGTH_TOLERANCE_SHARE = 0.02


@dataclass(frozen=True, eq=False)
class _Known:
    """What is compared of a track: its direction [E], if analysed; its length; its names."""

    direction: Vectors | None
    duration_s: float | None
    names: tuple[str, str] | None


class TrackCopies:
    """Finds the shown track that another is a copy of; knows the tracks it was made with."""

    def __init__(self, known: Mapping[int, _Known], embed_dim: int) -> None:
        self._known = known
        self._shown: list[int] = []
        self._directions: NDArray[np.float32] = np.zeros((64, embed_dim), dtype=np.float32)

    def add(self, track_pk: int) -> None:
        """This track is shown; one that is not known (any more) is nobody's original."""
        known = self._known.get(track_pk)
        if known is None:
            return
        count = len(self._shown)
        if count == len(self._directions):
            self._directions = np.concatenate([self._directions, np.zeros_like(self._directions)])
        if known.direction is not None:
            self._directions[count] = known.direction
        self._shown.append(track_pk)

    def find_shown(self, track_pk: int) -> int | None:
        """The first shown track that this one is a copy of."""
        known = self._known.get(track_pk)
        if known is None or not self._shown:
            return None
        cosines = np.zeros(len(self._shown), dtype=np.float32)
        if known.direction is not None:
            cosines = self._directions[: len(self._shown)] @ known.direction
        for shown_pk, cosine in zip(self._shown, cosines.tolist(), strict=True):
            if _is_copy(known, self._known[shown_pk], cosine):
                return shown_pk
        return None


def read_copies(session: Session, model_id: str | None, pks: Collection[int]) -> TrackCopies:
    """The tracks of a ranking, ready to be compared; without a model by name and length alone."""
    listed = sorted(pks)
    vectors = {} if model_id is None else track_vectors(session, model_id, listed)
    columns = (Track.pk, Track.duration_s, Track.title_key, Track.artist_key)
    known: dict[int, _Known] = {}
    for start in range(0, len(listed), 2_000):
        rows = session.execute(select(*columns).where(Track.pk.in_(listed[start : start + 2_000])))
        for pk, duration_s, title, artist in rows:
            names = (title, artist) if title and artist else None
            known[pk] = _Known(_direction(vectors.get(pk)), duration_s, names)
    width = next((len(vector) for vector in vectors.values()), 1)
    return TrackCopies(known, width)


def _direction(vector: Vectors | None) -> Vectors | None:
    if vector is None:
        return None
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else None


def _is_copy(one: _Known, other: _Known, cosine: float) -> bool:
    if not _same_length(one.duration_s, other.duration_s):
        return False
    return cosine >= COPY_COSINE or (one.names is not None and one.names == other.names)


def _same_length(one_s: float | None, other_s: float | None) -> bool:
    if one_s is None or other_s is None:
        return False
    tolerance_s = max(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE * max(one_s, other_s))
    return abs(one_s - other_s) <= tolerance_s
