"""Says plainly whether an answer holds what was asked for.

    none   there are no hits
    good   the best hit is closer to the query than GOOD_RELEVANCE of the reference music, or words
           that make up GOOD_SHARE of the query's rarity were found
    weak   anything else: hits are given, and are likely not what was meant

A text that is not about music cannot be told from one that is by its scores; docs/ranking.md shows
the attempt. So "good" says that the library holds what this model takes the text to mean.
"""

from __future__ import annotations

from typing import Literal

Match = Literal["good", "weak", "none"]

GOOD_RELEVANCE = 0.9
GOOD_SHARE = 0.5


def judge_match(*, has_hits: bool, best_relevance: float | None, best_share: float | None) -> Match:
    """The verdict on an answer; without any reference music a semantic answer counts as good."""
    if not has_hits:
        return "none"
    if best_share is not None and best_share >= GOOD_SHARE:
        return "good"
    if best_relevance is None:
        return "weak" if best_share is not None else "good"
    return "good" if best_relevance >= GOOD_RELEVANCE else "weak"
