"""The vectors of tracks as SQL holds them: looked up for a query, scored for a page.

Legend: E embedding width, N clips.

Vectors are stored as float16 and scored in float64. A track's vector is the mean of its clips,
not renormalised: its score against a query is the mean of its clips' scores.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from models.interface import Vectors
from service.database.tables import CLIP_BITS, Clip, Track, TrackState, TrackVector
from service.errors import InvalidRequest, TrackNotFound, TrackNotReady
from service.ids import is_id
from service.tracks.repository import clip_vector_id, clips_among, get_track

VectorsById = dict[int, Vectors]
Score = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""From vectors [N, E] to their scores [N]."""

_IN_LIST = 2_000
_POSITION = (1 << CLIP_BITS) - 1


class SpanOutsideTrack(InvalidRequest):
    code = "span_outside_track"
    default_message = "The track has no analysed audio between these seconds."


@dataclass(frozen=True, eq=False)
class ClipVectors:
    """A track's clips [N] in order of time: vectors [N, E] and their seconds."""

    vectors: Vectors
    starts_s: list[float]
    ends_s: list[float]


def get_known_track(session: Session, track_id: str) -> Track:
    """By public id; TrackNotFound also for a text that cannot be an id (and may upset a driver)."""
    if not is_id(track_id):
        raise TrackNotFound(track_id=track_id[:64])
    return get_track(session, track_id)


def get_track_vector(session: Session, track: Track, model_id: str) -> Vectors:
    """The track's mean vector [E]; TrackNotReady before it was analysed with this model."""
    row = session.get(TrackVector, (track.pk, model_id))
    if row is None or track.state != TrackState.READY:
        raise TrackNotReady(track_id=track.id)
    return _floats(row.vector)


def get_clip_vectors(
    session: Session,
    track: Track,
    model_id: str,
    start_s: float | None = None,
    end_s: float | None = None,
) -> ClipVectors:
    """The clips that share some time with start_s to end_s; all of them without bounds.

    Raises TrackNotReady before the analysis, SpanOutsideTrack where nothing was analysed.
    """
    get_track_vector(session, track, model_id)
    query = select(Clip).where(Clip.track_pk == track.pk, Clip.model_id == model_id)
    if start_s is not None:
        query = query.where(Clip.end_s > start_s)
    if end_s is not None:
        query = query.where(Clip.start_s < end_s)
    rows = session.scalars(query.order_by(Clip.position)).all()
    if not rows:
        raise SpanOutsideTrack(track_id=track.id, analysed_s=track.analysed_s)
    return ClipVectors(
        vectors=np.stack([_floats(row.vector) for row in rows]),
        starts_s=[row.start_s for row in rows],
        ends_s=[row.end_s for row in rows],
    )


def get_part_vector(
    session: Session, track_id: str, model_id: str, start_s: float | None, end_s: float | None
) -> tuple[Track, Vectors]:
    """A track and the vector [E] that stands for it, or for its seconds start_s to end_s."""
    track = get_known_track(session, track_id)
    if start_s is None and end_s is None:
        return track, get_track_vector(session, track, model_id)
    clips = get_clip_vectors(session, track, model_id, start_s, end_s)
    return track, clips.vectors.mean(axis=0)


def track_vectors(session: Session, model_id: str, pks: Sequence[int]) -> VectorsById:
    """The vector of each ready track among `pks`, by track number."""
    found: VectorsById = {}
    for some in _chunks(pks):
        rows = session.execute(
            select(TrackVector.track_pk, TrackVector.vector)
            .join(Track, Track.pk == TrackVector.track_pk)
            .where(
                TrackVector.track_pk.in_(some),
                TrackVector.model_id == model_id,
                Track.state == TrackState.READY,
            )
        )
        found.update((row.track_pk, _floats(row.vector)) for row in rows)
    return found


def clip_vectors(session: Session, model_id: str, clip_ids: Sequence[int]) -> VectorsById:
    """The vector of each clip (by vector id) whose track is ready."""
    found: VectorsById = {}
    pairs = [(clip_id >> CLIP_BITS, clip_id & _POSITION) for clip_id in clip_ids]
    for some in _chunks(pairs):
        rows = session.execute(
            select(Clip.track_pk, Clip.position, Clip.vector)
            .join(Track, Track.pk == Clip.track_pk)
            .where(clips_among(some), Clip.model_id == model_id, Track.state == TrackState.READY)
        )
        for row in rows:
            found[clip_vector_id(row.track_pk, row.position)] = _floats(row.vector)
    return found


def score_all(score: Score, vectors: VectorsById) -> dict[int, float]:
    """The score of each vector, by its number."""
    if not vectors:
        return {}
    scores = score(np.stack(list(vectors.values())))
    return dict(zip(vectors, scores.tolist(), strict=True))


@dataclass(frozen=True)
class ScoredClip:
    """A passage of a track with its exact score."""

    position: int
    start_s: float
    end_s: float
    score: float


def score_clips_of(
    session: Session, score: Score, model_id: str, track_pks: Collection[int]
) -> dict[int, list[ScoredClip]]:
    """All clips of each track in order of time; vectors are read in parts and not kept."""
    found: dict[int, list[ScoredClip]] = {pk: [] for pk in track_pks}
    statement = (
        select(Clip.track_pk, Clip.position, Clip.start_s, Clip.end_s, Clip.vector)
        .where(Clip.track_pk.in_(track_pks), Clip.model_id == model_id)
        .order_by(Clip.track_pk, Clip.position)
        .execution_options(yield_per=_IN_LIST)
    )
    for rows in session.execute(statement).partitions():
        stacked = np.frombuffer(b"".join(row.vector for row in rows), dtype="<f2")
        scores = score(stacked.reshape(len(rows), -1).astype(np.float32))
        for row, value in zip(rows, scores.tolist(), strict=True):
            clip = ScoredClip(row.position, row.start_s, row.end_s, value)
            found[row.track_pk].append(clip)
    return found


def _floats(stored: bytes) -> Vectors:
    return np.frombuffer(stored, dtype="<f2").astype(np.float32)


def _chunks(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), _IN_LIST):
        yield items[start : start + _IN_LIST]
