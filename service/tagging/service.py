"""Zero-shot tags: how well labels fit a track, seconds of it, or an unstored clip."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.interface import MusicTextEncoder, Vectors
from service.database.engine import Database
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle
from service.search.languages import language_warnings
from service.search.query import cut_warnings
from service.search.unstored import UnstoredClip
from service.search.vectors import get_clip_vectors, get_part_vector
from service.tagging.results import TagResult, best_first, build_timeline, group_scores
from service.tagging.scoring import LabelScorer, label_vectors
from service.tagging.store import get_vocabulary
from service.tagging.vocabulary import LabelSet, check_label_set

PROMPTS_AT_ONCE = 64
"""A long list of labels goes through the model in pieces, so that searches get in between."""


@dataclass(frozen=True)
class TagQuestion:
    """What is asked: labels of the caller's own, or a stored vocabulary's (by default current)."""

    labels: LabelSet | None = None
    vocabulary: str | None = None
    version: int | None = None
    timeline: bool = False


@dataclass(frozen=True, eq=False)
class _Target:
    """What is tagged: its mean vector [E] and its passages [N, E]."""

    mean: Vectors
    passages: Vectors
    starts_s: list[float]
    ends_s: list[float]
    warnings: list[str]


class TaggingService:
    """Scores labels under the model that is loaded."""

    def __init__(self, database: Database, texts: TextEmbedder, encoder: EncoderHandle) -> None:
        self._database = database
        self._texts = texts
        self._encoder = encoder

    async def tag_track(
        self,
        track_id: str,
        question: TagQuestion,
        *,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> TagResult:
        """Tags of a stored track, or of its seconds start_s to end_s.

        Raises TrackNotFound, TrackNotReady, SpanOutsideTrack, VocabularyNotFound, InvalidRequest,
        Overloaded.
        """
        encoder = self._encoder.get()
        target = await asyncio.to_thread(self._look_up, track_id, encoder.model_id, start_s, end_s)
        return await self._tag(encoder, target, question)

    async def tag_clip(self, clip: UnstoredClip, question: TagQuestion) -> TagResult:
        """Tags of an unstored clip; raises VocabularyNotFound, InvalidRequest, Overloaded."""
        target = _Target(clip.mean, clip.vectors, clip.starts_s, clip.ends_s, clip.warnings)
        return await self._tag(self._encoder.get(), target, question)

    async def scorer(self, labels: LabelSet) -> LabelScorer:
        """Labels ready to score under the model that is loaded; raises InvalidRequest."""
        encoder = self._encoder.get()
        check_label_set(labels, encoder.tag_templates)
        prompts = labels.prompts(encoder.tag_templates)
        vectors = await self._embed([prompt for some in prompts for prompt in some])
        return LabelScorer(labels, label_vectors(prompts, vectors), encoder)

    def _look_up(
        self, track_id: str, model_id: str, start_s: float | None, end_s: float | None
    ) -> _Target:
        with self._database.read() as session:
            track, mean = get_part_vector(session, track_id, model_id, start_s, end_s)
            clips = get_clip_vectors(session, track, model_id, start_s, end_s)
            return _Target(mean, clips.vectors, clips.starts_s, clips.ends_s, cut_warnings(track))

    async def _tag(
        self, encoder: MusicTextEncoder, target: _Target, question: TagQuestion
    ) -> TagResult:
        labels, version = await asyncio.to_thread(self._labels, question)
        scorer = await self.scorer(labels)
        texts = [label.label for group in labels.groups for label in group.labels]
        return await asyncio.to_thread(
            _answer,
            scorer,
            target,
            question,
            version,
            encoder.model_id,
            [*target.warnings, *language_warnings(texts, encoder.languages)],
        )

    def _labels(self, question: TagQuestion) -> tuple[LabelSet, int | None]:
        if question.labels is not None:
            return question.labels, None
        assert question.vocabulary is not None, "a question names labels or a vocabulary"
        with self._database.read() as session:
            stored = get_vocabulary(session, question.vocabulary, question.version)
        return stored.labels, stored.version

    async def _embed(self, prompts: Sequence[str]) -> Vectors:
        parts = [
            await self._texts.embed(prompts[start : start + PROMPTS_AT_ONCE])
            for start in range(0, len(prompts), PROMPTS_AT_ONCE)
        ]
        return np.concatenate(parts)


def _answer(
    scorer: LabelScorer,
    target: _Target,
    question: TagQuestion,
    version: int | None,
    model_id: str,
    warnings: list[str],
) -> TagResult:
    groups = group_scores(scorer, scorer.score(target.mean[np.newaxis]))
    items = best_first(groups)
    timeline = None
    if question.timeline:
        timeline = build_timeline(scorer, items, target.passages, target.starts_s, target.ends_s)
    name = None if question.labels is not None else question.vocabulary
    return TagResult(items, groups, timeline, name, version, model_id, warnings)
