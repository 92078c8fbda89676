"""The three ways to rank: by sound, by words, and both fused; each as one list of hits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.database.tables import CLIP_BITS
from service.keywords.lookup import KeywordMatch
from service.search.by_words import WordRanking
from service.search.fusion import fuse
from service.search.semantic import SemanticRanking
from service.search.vectors import score_clips_of

WINDOW = 500
"""Hits of each ranking that are fused, and tracks that words alone give: later ones are not seen
by anyone, and an answer says so where it ends for this reason."""
FUSED_SHARE = 0.3
"""The least part of the query's rarity that words must find for a track to enter a fused answer:
below it, words such as "with" in a long sentence would call up titles. By measurement."""


@dataclass(frozen=True, eq=False)
class RankedHits:
    """The hits of one query, best first, with what each ranking said.

    `is_whole` says that no further hits exist. Ranks count from 1; those by words are of tracks.
    """

    hit_ids: Sequence[int]
    is_whole: bool
    semantic_ranks: Mapping[int, int] = field(default_factory=dict)
    word_ranks: Mapping[int, int] = field(default_factory=dict)
    fused_scores: Mapping[int, float] = field(default_factory=dict)
    best_score: float | None = None
    best_share: float | None = None
    approximate: bool = False


def rank_by_sound(semantic: SemanticRanking, count: int) -> RankedHits:
    page = semantic.page(count)
    ids = [hit.vector_id for hit in page.hits]
    return RankedHits(
        ids,
        page.next_position is None,
        semantic_ranks=_ranks(ids),
        best_score=page.best_score,
        approximate=page.approximate,
    )


def rank_by_words(words: WordRanking) -> RankedHits:
    matches = words.best(WINDOW)
    ids = [match.track_pk for match in matches]
    return RankedHits(
        ids, len(ids) < WINDOW, word_ranks=_ranks(ids), best_share=_best_share(matches)
    )


def rank_by_both(semantic: SemanticRanking, words: WordRanking) -> RankedHits:
    """Reciprocal rank fusion; at level passage a track that words found is its best passage."""
    by_sound = rank_by_sound(semantic, WINDOW)
    found = words.best(WINDOW)
    matches = [match for match in found if match.share >= FUSED_SHARE]
    pks = [match.track_pk for match in matches]
    by_words = pks if semantic.level == "track" else _best_clips(semantic, pks)
    fused = fuse([by_sound.hit_ids, by_words])
    return RankedHits(
        [hit.hit_id for hit in fused],
        by_sound.is_whole and len(found) < WINDOW,
        semantic_ranks=by_sound.semantic_ranks,
        word_ranks=_ranks(pks),
        fused_scores={hit.hit_id: hit.score for hit in fused},
        best_score=by_sound.best_score,
        best_share=_best_share(matches),
        approximate=by_sound.approximate,
    )


def _best_clips(semantic: SemanticRanking, pks: Sequence[int]) -> list[int]:
    with semantic.database.read() as session:
        clips = score_clips_of(session, semantic.scorer.score, semantic.model_id, pks)
    best = []
    for pk in pks:
        if clips[pk]:
            clip = min(clips[pk], key=lambda clip: (-clip.score, clip.position))
            best.append(pk << CLIP_BITS | clip.position)
    return best


def _ranks(ids: Sequence[int]) -> dict[int, int]:
    return {hit_id: rank for rank, hit_id in enumerate(ids, start=1)}


def _best_share(matches: Sequence[KeywordMatch]) -> float | None:
    return max((match.share for match in matches), default=None)
