"""Tags tracks with the default vocabulary, in the transaction of whoever has their vectors.

Legend: T tracks, L labels, E embedding width.

`prepare` makes sure that the vocabulary's text vectors are there: from memory, else from
`tag_labels`, where the first process that needed them put them, else from the model. `write` then
only multiplies, so that it can be part of the transaction that publishes a track.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import delete, insert, select
from sqlalchemy.orm import Session

from models.interface import MusicTextEncoder, Vectors
from service.database.engine import Database, database_now
from service.database.tables import TagLabel, TagValue, TrackTagging
from service.errors import MuqueryError
from service.inference.encoder import EncoderHandle
from service.inference.input_errors import as_service_error
from service.inference.thread import ModelThread, Urgency
from service.keywords.store import refresh_track_texts
from service.tagging.scoring import LabelScorer, label_vectors
from service.tagging.store import StoredVocabulary, find_default, hold_default, offer_standard
from service.tagging.values import insert_values

log = logging.getLogger(__name__)

_PROMPTS_AT_ONCE = 32
_STORED = np.dtype("<f4")


class VocabularyChanged(Exception):
    """Another vocabulary became the default meanwhile; nothing was written. Prepare again."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """The default vocabulary under one model, ready to tag with."""

    name: str
    version: int
    model_id: str
    scorer: LabelScorer

    @property
    def recipe(self) -> str:
        return self.scorer.digest


class TrackTagger:
    """One per process; safe between threads, but never called from an event loop."""

    def __init__(self, database: Database, encoder: EncoderHandle, thread: ModelThread) -> None:
        self._database = database
        self._encoder = encoder
        self._thread = thread
        self._lock = threading.Lock()
        self._prepared: Prepared | None = None

    def prepare(self) -> Prepared:
        """What tracks are to be tagged with now; raises what the model says about a label."""
        encoder = self._encoder.wait()
        with self._lock:
            vocabulary = self._default()
            prepared = self._prepared
            if prepared is None or _key(prepared) != (vocabulary.name, vocabulary.version):
                scorer = LabelScorer(vocabulary.labels, self._vectors(vocabulary, encoder), encoder)
                self._prepared = prepared = Prepared(
                    vocabulary.name, vocabulary.version, encoder.model_id, scorer
                )
            return prepared

    def prepare_or_skip(self) -> Prepared | None:
        """The same; None, and a line in the log, where the model cannot read a label.

        A track is worth more than its tags: it goes without, and the job that tags the library
        again fails with the reason.
        """
        try:
            return self.prepare()
        except MuqueryError:
            log.exception("the default vocabulary cannot be used with this model")
            return None

    def write(
        self,
        session: Session,
        prepared: Prepared,
        track_pks: Sequence[int],
        means: NDArray[np.floating[Any]],
    ) -> None:
        """Replace the tags of tracks, given their stored mean vectors [T, E].

        The caller holds the tracks' rows. Raises VocabularyChanged.
        """
        if not hold_default(session, prepared.name, prepared.version):
            raise VocabularyChanged
        label_pks = _store_labels(session, prepared)
        _remove(session, track_pks, prepared.model_id)
        scores = prepared.scorer.score(means)
        insert_values(session, track_pks, label_pks, scores)
        now = database_now(session)
        session.execute(
            insert(TrackTagging),
            [
                {
                    "track_pk": pk,
                    "model_id": prepared.model_id,
                    "vocabulary": prepared.name,
                    "version": prepared.version,
                    "recipe": prepared.recipe,
                    "tagged_at": now,
                }
                for pk in track_pks
            ],
        )
        refresh_track_texts(session, track_pks)

    def _default(self) -> StoredVocabulary:
        with self._database.read() as session:
            found = find_default(session)
        if found is not None:
            return found
        offer_standard(self._database)
        return self._default()

    def _vectors(self, vocabulary: StoredVocabulary, encoder: MusicTextEncoder) -> Vectors:
        """[L, E], of the same values in every process."""
        with self._database.read() as session:
            stored = _read_labels(session, vocabulary.name, vocabulary.version, encoder.model_id)
        wanted = [
            (group.name, label.label)
            for group in vocabulary.labels.groups
            for label in group.labels
        ]
        if set(wanted) <= stored.keys():
            return np.stack([np.frombuffer(stored[key].vector, _STORED) for key in wanted])
        prompts = vocabulary.labels.prompts(encoder.tag_templates)
        log.info("embedding the %d labels of vocabulary %s", len(wanted), vocabulary.name)
        found = self._embed(encoder, [prompt for some in prompts for prompt in some])
        return label_vectors(prompts, found)

    def _embed(self, encoder: MusicTextEncoder, texts: Sequence[str]) -> Vectors:
        """[all prompts, E], behind everything that people wait for."""
        parts = []
        for start in range(0, len(texts), _PROMPTS_AT_ONCE):
            run = partial(encoder.embed_text, texts[start : start + _PROMPTS_AT_ONCE])
            try:
                parts.append(self._thread.submit(Urgency.JOB_CLIPS, run).result())
            except ValueError as error:
                raise as_service_error(error) from error
        return np.concatenate(parts)


def _key(prepared: Prepared) -> tuple[str, int]:
    return prepared.name, prepared.version


def _read_labels(
    session: Session, name: str, version: int, model_id: str
) -> dict[tuple[str, str], TagLabel]:
    rows = session.scalars(
        select(TagLabel).where(
            TagLabel.model_id == model_id,
            TagLabel.vocabulary == name,
            TagLabel.version == version,
        )
    )
    return {(row.group_name, row.label): row for row in rows}


def _store_labels(session: Session, prepared: Prepared) -> list[int]:
    """The numbers of the labels in order, given to those that have none yet."""
    key = (prepared.name, prepared.version, prepared.model_id)
    known = _read_labels(session, *key)
    wanted = [(placed.group.name, placed.label.label) for placed in prepared.scorer.placed]
    if not set(wanted) <= known.keys():
        _add_labels(session, prepared, known)
        known = _read_labels(session, *key)
    return [known[key].pk for key in wanted]


def _add_labels(
    session: Session, prepared: Prepared, known: dict[tuple[str, str], TagLabel]
) -> None:
    rows = [
        {
            "model_id": prepared.model_id,
            "vocabulary": prepared.name,
            "version": prepared.version,
            "group_name": placed.group.name,
            "label": placed.label.label,
            "vector": prepared.scorer.vectors[placed.column].astype(_STORED).tobytes(),
        }
        for placed in prepared.scorer.placed
        if (placed.group.name, placed.label.label) not in known
    ]
    # Two processes may be the first at once: the second waits for the first one's commit here.
    session.execute(_insert_ignoring(session), rows)


def _insert_ignoring(session: Session) -> Any:
    if session.get_bind().dialect.name == "sqlite":
        from sqlalchemy.dialects.sqlite import insert as sqlite_insert

        return sqlite_insert(TagLabel).on_conflict_do_nothing()
    from sqlalchemy.dialects.postgresql import insert as postgresql_insert

    return postgresql_insert(TagLabel).on_conflict_do_nothing()


def _remove(session: Session, track_pks: Sequence[int], model_id: str) -> None:
    labels = select(TagLabel.pk).where(TagLabel.model_id == model_id)
    session.execute(
        delete(TagValue).where(TagValue.track_pk.in_(track_pks), TagValue.label_pk.in_(labels)),
        execution_options={"synchronize_session": False},
    )
    session.execute(
        delete(TrackTagging).where(
            TrackTagging.track_pk.in_(track_pks), TrackTagging.model_id == model_id
        ),
        execution_options={"synchronize_session": False},
    )
