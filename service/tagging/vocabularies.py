"""Vocabularies as clients see them: read, saved in versions, deleted."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from service.database.engine import Database
from service.inference.encoder import EncoderHandle
from service.tagging.retag import want_retag
from service.tagging.service import TaggingService
from service.tagging.store import (
    StoredVocabulary,
    delete_vocabulary,
    get_vocabulary,
    list_versions,
    list_vocabularies,
    save_vocabulary,
)
from service.tagging.stored import StoredTagService
from service.tagging.vocabulary import LabelSet


@dataclass(frozen=True)
class VocabularyState:
    """A version of a vocabulary, its other versions, and how many tracks have tags of it."""

    vocabulary: StoredVocabulary
    versions: list[StoredVocabulary]
    tagged_tracks: int
    tracks: int


@dataclass(frozen=True)
class SavedState:
    """What a save did; `job_id` names the job that tags the library again, if that is due."""

    state: VocabularyState
    is_new_version: bool
    job_id: str | None


class VocabularyService:
    """One per process."""

    def __init__(
        self,
        database: Database,
        tagging: TaggingService,
        stored_tags: StoredTagService,
        encoder: EncoderHandle,
        *,
        max_attempts: int = 3,
    ) -> None:
        self._database = database
        self._tagging = tagging
        self._stored_tags = stored_tags
        self._encoder = encoder
        self._max_attempts = max_attempts

    def list_vocabularies(self) -> list[StoredVocabulary]:
        """The current version of each, by name."""
        with self._database.read() as session:
            return list_vocabularies(session)

    def get_vocabulary(self, name: str, version: int | None = None) -> VocabularyState:
        """A version, by default the current one; raises VocabularyNotFound."""
        with self._database.read() as session:
            vocabulary = get_vocabulary(session, name, version)
            versions = list_versions(session, name)
        count = self._stored_tags.count_tagged(vocabulary)
        return VocabularyState(vocabulary, versions, count.tagged, count.tracks)

    async def save_vocabulary(
        self, name: str, labels: LabelSet, *, description: str | None, make_default: bool
    ) -> SavedState:
        """Store a version that the model can read; if it is the default, the library is tagged.

        Raises InvalidRequest, TextTooLong, Overloaded.
        """
        await self._tagging.scorer(labels)
        return await asyncio.to_thread(self._save, name, labels, description, make_default)

    def delete_vocabulary(self, name: str) -> None:
        """All versions; raises VocabularyNotFound, VocabularyInUse for the default."""
        with self._database.write() as session:
            delete_vocabulary(session, name)

    def _save(
        self, name: str, labels: LabelSet, description: str | None, make_default: bool
    ) -> SavedState:
        model_id = self._encoder.get().model_id
        job_id = None
        with self._database.write() as session:
            saved = save_vocabulary(
                session, name, labels, description=description, make_default=make_default
            )
            if saved.changes_tags:
                job_id = want_retag(session, model_id, self._max_attempts).id
        return SavedState(self.get_vocabulary(name), saved.is_new_version, job_id)
