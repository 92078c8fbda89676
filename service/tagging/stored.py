"""The tags that tracks have in SQL, and labels over the whole library.

Legend: T tracks, E embedding width.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from models.interface import MusicTextEncoder, Vectors
from service.database.engine import Database
from service.database.tables import (
    TagLabel,
    Track,
    TrackState,
    TrackTagging,
    TrackVector,
)
from service.database.track_tags import TrackTag
from service.database.vectors import STORED
from service.inference.encoder import EncoderHandle
from service.search.vectors import get_clip_vectors, get_known_track, get_track_vector
from service.tagging.results import (
    StoredTags,
    TagGroup,
    TagScore,
    Timeline,
    best_first,
    build_timeline,
)
from service.tagging.scoring import LabelScorer
from service.tagging.store import StoredVocabulary, find_default, get_vocabulary

_TRACKS_AT_ONCE = 4_096
_LABEL_VECTOR = np.dtype("<f4")


@dataclass(frozen=True)
class TaggedCount:
    """How far the library is tagged with a version of a vocabulary."""

    tagged: int
    tracks: int


class StoredTagService:
    """Reads what the tagger wrote."""

    def __init__(self, database: Database, encoder: EncoderHandle) -> None:
        self._database = database
        self._encoder = encoder

    def get_tags(self, track_id: str, *, timeline: bool = False) -> StoredTags:
        """Raises TrackNotFound, TrackNotReady."""
        encoder = self._encoder.get()
        with self._database.read() as session:
            track = get_known_track(session, track_id)
            get_track_vector(session, track, encoder.model_id)
            tagging = session.get(TrackTagging, (track.pk, encoder.model_id))
            if tagging is None:
                return StoredTags(track.id, None, None, False, None, [], None, encoder.model_id)
            vocabulary = get_vocabulary(session, tagging.vocabulary, tagging.version)
            groups = _groups(session, track, vocabulary, encoder.model_id)
            along = _timeline(session, track, vocabulary, groups, encoder) if timeline else None
            default = find_default(session)
        return StoredTags(
            track_id=track.id,
            vocabulary=vocabulary.name,
            version=vocabulary.version,
            is_current=default is not None
            and (default.name, default.version) == (vocabulary.name, vocabulary.version),
            tagged_at=tagging.tagged_at,
            groups=groups,
            timeline=along,
            model_id=encoder.model_id,
        )

    def count_tagged(self, vocabulary: StoredVocabulary) -> TaggedCount:
        """Tracks tagged with this version, and all that could be."""
        model_id = self._encoder.get().model_id
        with self._database.read() as session:
            tagged = session.scalar(
                select(func.count()).where(
                    TrackTagging.model_id == model_id,
                    TrackTagging.vocabulary == vocabulary.name,
                    TrackTagging.version == vocabulary.version,
                )
            )
            tracks = session.scalar(select(func.count()).where(TrackVector.model_id == model_id))
        return TaggedCount(tagged or 0, tracks or 0)


def iterate_track_vectors(session: Session, model_id: str) -> Iterator[tuple[list[int], Vectors]]:
    """Numbers and mean vectors [T, E] of all ready tracks, some thousand at a time."""
    # Columns of tables, not of classes: the ORM takes longer over 100,000 rows than the database.
    tracks, vectors_of = Track.__table__.c, TrackVector.__table__.c
    rows = session.execute(
        select(vectors_of.track_pk, vectors_of.vector)
        .join_from(TrackVector.__table__, Track.__table__, tracks.pk == vectors_of.track_pk)
        .where(vectors_of.model_id == model_id, tracks.state == TrackState.READY)
        .order_by(tracks.pk)  # the order of the index of states: nothing has to be sorted
        .execution_options(yield_per=_TRACKS_AT_ONCE)
    )
    for some in rows.partitions():
        vectors = np.frombuffer(b"".join(row.vector for row in some), STORED)
        wide = vectors.reshape(len(some), -1).astype(np.float32)
        yield [row.track_pk for row in some], wide


def _groups(
    session: Session, track: Track, vocabulary: StoredVocabulary, model_id: str
) -> list[TagGroup]:
    rows = session.execute(
        select(
            TrackTag.group_name,
            TrackTag.label,
            TrackTag.score,
            TrackTag.relevance,
            TrackTag.probability,
            TrackTag.assigned,
        ).where(
            TrackTag.track_pk == track.pk,
            TrackTag.model_id == model_id,
            TrackTag.vocabulary == vocabulary.name,
            TrackTag.version == vocabulary.version,
        )
    )
    stored = {(row.group_name, row.label): row for row in rows}
    found = []
    for group in vocabulary.labels.groups:
        rows_of = [(label, stored[group.name, label.label]) for label in group.labels]
        rows_of.sort(key=lambda pair: -_value(pair[1].relevance, pair[1].score))
        items = [
            TagScore(
                group=group.name,
                label=label.label,
                rank=rank,
                score=row.score,
                relevance=row.relevance,
                probability=row.probability,
                assigned=row.assigned,
                weak=label.weak,
            )
            for rank, (label, row) in enumerate(rows_of, start=1)
        ]
        found.append(TagGroup(group.name, group.choice, items))
    return found


def _value(relevance: float | None, score: float) -> float:
    return score if relevance is None else relevance


def _timeline(
    session: Session,
    track: Track,
    vocabulary: StoredVocabulary,
    groups: list[TagGroup],
    encoder: MusicTextEncoder,
) -> Timeline:
    scorer = stored_scorer(session, vocabulary, encoder)
    clips = get_clip_vectors(session, track, encoder.model_id)
    return build_timeline(scorer, best_first(groups), clips.vectors, clips.starts_s, clips.ends_s)


def stored_scorer(
    session: Session, vocabulary: StoredVocabulary, encoder: MusicTextEncoder
) -> LabelScorer:
    """The labels of a version that tracks were tagged with, without asking the model again."""
    rows = session.execute(
        select(TagLabel.group_name, TagLabel.label, TagLabel.vector).where(
            TagLabel.model_id == encoder.model_id,
            TagLabel.vocabulary == vocabulary.name,
            TagLabel.version == vocabulary.version,
        )
    )
    stored = {(row.group_name, row.label): row.vector for row in rows}
    vectors = [
        np.frombuffer(stored[group.name, label.label], _LABEL_VECTOR)
        for group in vocabulary.labels.groups
        for label in group.labels
    ]
    return LabelScorer(vocabulary.labels, np.stack(vectors), encoder)
