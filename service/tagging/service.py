"""Zero-shot tags: how well each of the caller's labels fits a track or an unstored clip.

Legend: L labels, P prompts of a label, E embedding width.

label -> one prompt per template -> text vectors [P, E] -> their mean at unit length -> its score
against the target's mean vector -> relevance among reference music -> calibrated probability.
Averaging over templates makes a label less dependent on one wording (as published for CLIP).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from models.interface import MusicTextEncoder, Vectors
from models.relevance import relevance_scale
from service.database.engine import Database
from service.errors import InvalidRequest
from service.inference.batcher import TextEmbedder
from service.inference.encoder import EncoderHandle
from service.search.languages import language_warnings
from service.search.mixing import unit
from service.search.query import cut_warnings
from service.search.unstored import UnstoredClip
from service.search.vectors import get_part_vector

MAX_PROMPTS = 2_000
PROMPTS_AT_ONCE = 64
"""A long list of labels goes through the model in pieces, so that searches get in between."""

PLACEHOLDER = "{label}"


@dataclass(frozen=True)
class TagScore:
    label: str
    score: float
    relevance: float | None
    probability: float | None


@dataclass(frozen=True)
class TagResult:
    """Scores, best first."""

    items: list[TagScore]
    model_id: str
    warnings: list[str] = field(default_factory=list)


class TaggingService:
    """Scores labels under the model that is loaded."""

    def __init__(self, database: Database, texts: TextEmbedder, encoder: EncoderHandle) -> None:
        self._database = database
        self._texts = texts
        self._encoder = encoder

    async def tag_track(
        self,
        track_id: str,
        labels: Sequence[str],
        templates: Sequence[str] = (),
        *,
        start_s: float | None = None,
        end_s: float | None = None,
    ) -> TagResult:
        """Tags of a stored track, or of its seconds start_s to end_s.

        Raises TrackNotFound, TrackNotReady, SpanOutsideTrack, InvalidRequest, Overloaded.
        """
        encoder = self._encoder.get()
        target, warnings = await asyncio.to_thread(
            self._look_up, track_id, encoder.model_id, start_s, end_s
        )
        return await self._tag(encoder, target, labels, templates, warnings)

    async def tag_clip(
        self, clip: UnstoredClip, labels: Sequence[str], templates: Sequence[str] = ()
    ) -> TagResult:
        """Tags of an unstored clip; raises InvalidRequest, Overloaded."""
        return await self._tag(self._encoder.get(), clip.mean, labels, templates, clip.warnings)

    def _look_up(
        self, track_id: str, model_id: str, start_s: float | None, end_s: float | None
    ) -> tuple[Vectors, list[str]]:
        with self._database.read() as session:
            track, vector = get_part_vector(session, track_id, model_id, start_s, end_s)
            return vector, cut_warnings(track)

    async def _tag(
        self,
        encoder: MusicTextEncoder,
        target: Vectors,
        labels: Sequence[str],
        templates: Sequence[str],
        warnings: Sequence[str],
    ) -> TagResult:
        unique = list(dict.fromkeys(label.strip() for label in labels))
        templates = list(templates) or list(encoder.tag_templates) or [PLACEHOLDER]
        _check(unique, templates)
        prompts = [
            template.replace(PLACEHOLDER, label) for label in unique for template in templates
        ]
        vectors = await self._embed(prompts)
        items = await asyncio.to_thread(
            _score_labels, encoder, target, unique, vectors.reshape(len(unique), len(templates), -1)
        )
        language = language_warnings(unique, encoder.languages)
        return TagResult(items, encoder.model_id, [*warnings, *language])

    async def _embed(self, prompts: Sequence[str]) -> Vectors:
        parts = [
            await self._texts.embed(prompts[start : start + PROMPTS_AT_ONCE])
            for start in range(0, len(prompts), PROMPTS_AT_ONCE)
        ]
        return np.concatenate(parts)


def _check(labels: Sequence[str], templates: Sequence[str]) -> None:
    if not labels or any(not label for label in labels):
        raise InvalidRequest("Each label needs at least one character.")
    if any(PLACEHOLDER not in template for template in templates):
        raise InvalidRequest("Each template must hold {label}.")
    if len(labels) * len(templates) > MAX_PROMPTS:
        raise InvalidRequest(
            "Too many labels times templates.",
            prompts=len(labels) * len(templates),
            max_prompts=MAX_PROMPTS,
        )


def _score_labels(
    encoder: MusicTextEncoder, target: Vectors, labels: Sequence[str], vectors: Vectors
) -> list[TagScore]:
    """Scores of labels, given their prompts' vectors [L, P, E], against a target [E]."""
    items = []
    for label, prompts in zip(labels, vectors, strict=True):
        query = unit(prompts.mean(axis=0))
        score = float(query.astype(np.float64) @ target.astype(np.float64))
        relevance = None
        if len(encoder.reference) > 0:
            relevance = relevance_scale(query, encoder.reference).relevance(score)
        probability = None if relevance is None else encoder.tag_probability(relevance)
        items.append(TagScore(label, score, relevance, probability))
    items.sort(key=lambda item: -(item.score if item.relevance is None else item.relevance))
    return items
