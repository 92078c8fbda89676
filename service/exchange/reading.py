"""The library's analysed tracks as they are exported, some at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.tables import Clip, Track, TrackState, TrackVector
from service.database.vectors import STORED
from service.exchange.tracks import VALUES, ExportedTrack, Header

READ_AT_ONCE = 100


def read_tracks(
    database: Database, header: Header, where: Sequence[ColumnElement[bool]] = ()
) -> Iterator[ExportedTrack]:
    """Every ready track with vectors of this model, in the order in which they were added.

    Each hundred is read in a moment of its own: an export that takes hours holds up nobody. A track
    that comes or goes meanwhile may be in it or not; one that is in it is whole.
    """
    after_pk = 0
    while True:
        with database.snapshot() as session:
            tracks = _next_tracks(session, header.model_id, after_pk, where)
            found = [_exported(session, track, header) for track in tracks]
        yield from found
        if len(tracks) < READ_AT_ONCE:
            return
        after_pk = tracks[-1].pk


def _next_tracks(
    session: Session, model_id: str, after_pk: int, where: Sequence[ColumnElement[bool]]
) -> list[Track]:
    query = (
        select(Track)
        .join(TrackVector, TrackVector.track_pk == Track.pk)
        .where(
            TrackVector.model_id == model_id,
            Track.state == TrackState.READY,
            Track.pk > after_pk,
            *where,
        )
        .order_by(Track.pk)
        .limit(READ_AT_ONCE)
    )
    return list(session.scalars(query))


def _exported(session: Session, track: Track, header: Header) -> ExportedTrack:
    clips = session.execute(
        select(Clip.start_s, Clip.end_s, Clip.vector)
        .where(Clip.track_pk == track.pk, Clip.model_id == header.model_id)
        .order_by(Clip.position)
    ).all()
    vectors = np.frombuffer(b"".join(clip.vector for clip in clips), STORED)
    ends_s = np.array([clip.end_s for clip in clips], np.float64)
    return ExportedTrack(
        track_id=track.id,
        sha256=track.sha256,
        filename=track.filename,
        duration_s=track.duration_s,
        analysed_s=track.analysed_s or float(ends_s[-1]),
        values={name: getattr(track, name) for name in VALUES},
        warnings=list(track.warnings),
        peaks=track.peaks or b"",
        starts_s=np.array([clip.start_s for clip in clips], np.float64),
        ends_s=ends_s,
        vectors=vectors.reshape(len(clips), header.embed_dim),
    )
