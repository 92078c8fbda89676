"""One page of a search, by whichever kind of cursor its ranking can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from service.database.engine import Database
from service.search.asked import Asked
from service.search.cursor import decode_cursor, decode_given, encode_cursor, encode_given
from service.search.matching import Match, judge_match
from service.search.ranked import RankedHits, rank_by_both, rank_by_sound, rank_by_words
from service.search.selection import Selected
from service.search.semantic import SemanticRanking
from service.search.window import WindowPage, window_page


@dataclass(frozen=True, eq=False)
class AnswerPage:
    """The hits of a page in order, and how they were ranked."""

    hits: list[Selected]
    ranked: RankedHits
    first_rank: int
    next_cursor: str | None
    warnings: list[str] = field(default_factory=list)


def exact_page(asked: Asked, semantic: SemanticRanking) -> AnswerPage:
    """Hits whose scores depend on themselves alone: any number of pages. Raises InvalidCursor."""
    cursor = asked.options.cursor
    after = None if cursor is None else decode_cursor(cursor, asked.identity)
    page = semantic.page(asked.options.limit, after)
    ids = [hit.vector_id for hit in page.hits]
    more = page.next_position
    ranked = RankedHits(
        ids,
        more is None,
        semantic_ranks={hit_id: rank for rank, hit_id in enumerate(ids, page.first_rank)},
        best_score=page.best_score,
        approximate=page.approximate,
    )
    next_cursor = None if more is None else encode_cursor(asked.identity, more)
    return AnswerPage([Selected(hit_id) for hit_id in ids], ranked, page.first_rank, next_cursor)


def selected_page(database: Database, asked: Asked) -> AnswerPage:
    """Hits that depend on each other. Raises InvalidCursor."""
    options = asked.options
    given = frozenset[int]()
    if options.cursor is not None:
        given = decode_given(options.cursor, asked.identity)
    page = _window(database, asked, given)
    next_cursor = None
    if page.has_more:
        next_cursor = encode_given(asked.identity, {*given, *(hit.hit_id for hit in page.hits)})
    warnings = []
    if page.is_cut:
        warnings.append(
            f"The answer ends here: of this ranking only the best {len(page.ranked.hit_ids)} hits "
            "are looked at."
        )
    return AnswerPage(page.hits, page.ranked, len(given) + 1, next_cursor, warnings)


def judge(asked: Asked, ranked: RankedHits) -> Match:
    """Whether the whole answer, not this page alone, holds what was asked for."""
    relevance = None
    if asked.semantic is not None and ranked.best_score is not None:
        relevance = asked.semantic.scorer.relevance(ranked.best_score)
    has_hits = ranked.best_score is not None or ranked.best_share is not None
    return judge_match(has_hits=has_hits, best_relevance=relevance, best_share=ranked.best_share)


def _window(database: Database, asked: Asked, given: frozenset[int]) -> WindowPage:
    return window_page(
        database,
        _ranker(asked),
        given=given,
        limit=asked.options.limit,
        rules=asked.options.rules,
        level=asked.options.level,
        model_id=asked.model_id,
    )


def _ranker(asked: Asked) -> Callable[[int], RankedHits]:
    """What ranks at least so many hits; what words find is one list of a fixed length."""
    semantic, words = asked.semantic, asked.words
    if semantic is not None and words is None:
        return lambda count: rank_by_sound(semantic, count)
    assert words is not None, "a search ranks by sound, by words, or by both"
    fixed = rank_by_words(words) if semantic is None else rank_by_both(semantic, words)
    return lambda _count: fixed
