"""Which tracks of a ranking are the same music as another: by their vectors and their length.

Legend: E embedding width, S shown tracks, N clips of a track.

Two files of one recording (another codec, level, or a second cut off) have nearly the same length,
and nearly parallel vectors. A codec that cuts the treble off moves all vectors of a track by more
than another piece may differ, but it moves them alike: how each clip differs from the track's mean,
its course, stays. Two recordings hardly ever share a course (measured in docs/ranking.md), so it
decides where the means are merely near. The same title and artist are enough, too. Copies are left
out of an answer, never merged: what is alike to a model need not be one thing to its owner.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.interface import Vectors
from service.database.tables import Clip, Track
from service.database.vectors import unpack_vectors
from service.search.vectors import track_vectors

COPY_COSINE = 0.99
# Where the means are this near, and the course agrees as much, over so many clips at least.
NEAR_COSINE = 0.85
COPY_COURSE = 0.72
COURSE_MIN_CLIPS = 4
LENGTH_TOLERANCE_S = 6.0
LENGTH_TOLERANCE_SHARE = 0.02

ReadClips = Callable[[int], Vectors]
"""The clip vectors [N, E] of a track, in order of time."""


@dataclass(frozen=True, eq=False)
class _Known:
    """What is compared of a track: its direction [E], if analysed; its length; its names."""

    direction: Vectors | None
    duration_s: float | None
    names: tuple[str, str] | None


class TrackCopies:
    """Finds the shown track that another is a copy of; knows the tracks it was made with."""

    def __init__(self, known: Mapping[int, _Known], embed_dim: int, read_clips: ReadClips) -> None:
        self._known = known
        self._read_clips = read_clips
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
            shown = self._known[shown_pk]
            if not is_like_length(known.duration_s, shown.duration_s):
                continue
            has_same_names = known.names is not None and known.names == shown.names
            if has_same_names or self._sounds_alike(track_pk, shown_pk, cosine):
                return shown_pk
        return None

    def _sounds_alike(self, one_pk: int, other_pk: int, cosine: float) -> bool:
        if not NEAR_COSINE <= cosine < COPY_COSINE:
            return cosine >= COPY_COSINE
        return is_same_course(self._read_clips(one_pk), self._read_clips(other_pk))


def is_same_course(one: Vectors, other: Vectors) -> bool:
    """Whether clips [N, E] of two tracks that are near take the same course."""
    clips = min(len(one), len(other))
    return clips >= COURSE_MIN_CLIPS and course_likeness(one, other) >= COPY_COURSE


def course_likeness(one: Vectors, other: Vectors) -> float:
    """How alike clips [N, E] of two tracks differ from their means: -1 to 1, as a correlation.

    The longer track is cut at its end. 0 where a track does not change at all.
    """
    clips = min(len(one), len(other))
    first, second = (side[:clips] - side[:clips].mean(axis=0) for side in (one, other))
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(np.vdot(first, second)) / size if size > 0 else 0.0


def is_like_length(one_s: float | None, other_s: float | None) -> bool:
    """Whether two files may be of one recording, a few seconds of silence or fade aside."""
    if one_s is None or other_s is None:
        return False
    tolerance_s = max(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE * max(one_s, other_s))
    return abs(one_s - other_s) <= tolerance_s


def read_copies(session: Session, model_id: str | None, pks: Collection[int]) -> TrackCopies:
    """The tracks of a ranking, ready to be compared; without a model by name and length alone.

    Clips are read where two tracks are near: the session must be open while copies are looked for.
    """
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
    read: dict[int, Vectors] = {}

    def read_clips(track_pk: int) -> Vectors:
        if track_pk not in read:
            assert model_id is not None  # without a model no track has a direction
            read[track_pk] = _clips_of(session, model_id, track_pk, width)
        return read[track_pk]

    return TrackCopies(known, width, read_clips)


def _clips_of(session: Session, model_id: str, track_pk: int, width: int) -> Vectors:
    rows = session.scalars(
        select(Clip.vector)
        .where(Clip.track_pk == track_pk, Clip.model_id == model_id)
        .order_by(Clip.position)
    ).all()
    return unpack_vectors(rows, width)


def _direction(vector: Vectors | None) -> Vectors | None:
    if vector is None:
        return None
    norm = float(np.linalg.norm(vector))
    return vector / norm if norm > 0 else None
