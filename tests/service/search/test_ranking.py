"""Paging against a full sort, while vectors come and go between the pages."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.search.cursor import Position
from service.search.ranking import FIRST_CANDIDATES, rank_page


@dataclass
class FoundIds:
    ids: np.ndarray
    scores: np.ndarray
    approximate: bool = False


class Library:
    """Scores by id; `dead` ids are still proposed by the index, as by one that lags behind."""

    def __init__(self, scores: Mapping[int, float], dead: frozenset[int] = frozenset()) -> None:
        self.scores = dict(scores)
        self.dead = dead
        self.asked: list[int] = []

    def propose(self, k: int) -> FoundIds:
        self.asked.append(k)
        # Ties in an order of its own, as an index may have it.
        best = sorted(self.scores, key=lambda i: (-self.scores[i], -i))[:k]
        return FoundIds(
            np.array(best, dtype=np.int64),
            np.array([self.scores[i] for i in best], dtype=np.float32),
        )

    def score(self, ids: Sequence[int]) -> dict[int, float]:
        return {i: self.scores[i] for i in ids if i not in self.dead}

    def expected(self) -> list[int]:
        live = [i for i in self.scores if i not in self.dead]
        return sorted(live, key=lambda i: (-self.scores[i], i))


def walk(library: Library, limit: int) -> list[int]:
    found: list[int] = []
    after: Position | None = None
    while True:
        page = rank_page(library.propose, library.score, limit=limit, after=after)
        assert page.first_rank == len(found) + 1
        found += [hit.vector_id for hit in page.hits]
        after = page.next_position
        if after is None:
            return found


@settings(max_examples=60, deadline=None)
@given(
    scores=st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.30001, 0.5]), max_size=300),
    dead=st.sets(st.integers(0, 299)),
    limit=st.integers(1, 40),
)
def test_pages_are_the_full_order_cut_up(scores: list[float], dead: set[int], limit: int) -> None:
    library = Library(dict(enumerate(scores)), frozenset(dead))
    assert walk(library, limit) == library.expected()


def test_nothing_repeats_or_is_skipped_while_the_library_changes() -> None:
    rng = np.random.default_rng(5)
    library = Library({i: float(s) for i, s in enumerate(rng.random(400))})
    stay = set(library.scores)
    seen: list[int] = []
    after: Position | None = None
    for step in range(100):
        page = rank_page(library.propose, library.score, limit=10, after=after)
        seen += [hit.vector_id for hit in page.hits]
        after = page.next_position
        if after is None:
            break
        gone = int(rng.choice(sorted(stay - set(seen))))  # one that was still to come
        stay.discard(gone)
        del library.scores[gone]
        shown = seen[-1]  # the very hit that the cursor names
        stay.discard(shown)
        library.scores.pop(shown, None)
        library.scores[1000 + step] = float(rng.random())
    assert len(seen) == len(set(seen))
    assert stay <= set(seen)


def test_a_sea_of_deleted_candidates_does_not_hide_the_live_ones() -> None:
    scores = {i: 1.0 - i / 10_000 for i in range(5_000)}
    library = Library(scores, dead=frozenset(range(4_990)))
    page = rank_page(library.propose, library.score, limit=5, after=None)
    assert [hit.vector_id for hit in page.hits] == [4990, 4991, 4992, 4993, 4994]


def test_a_small_page_asks_the_index_once() -> None:
    library = Library({i: i / 10_000 for i in range(5_000)})
    rank_page(library.propose, library.score, limit=10, after=None)
    assert library.asked == [FIRST_CANDIDATES]


def test_the_list_ends_where_a_score_is_no_longer_admitted() -> None:
    library = Library({i: i / 100 for i in range(100)})
    page = rank_page(
        library.propose, library.score, limit=20, after=None, admits=lambda score: score >= 0.95
    )
    assert [hit.vector_id for hit in page.hits] == [99, 98, 97, 96, 95]
    assert page.next_position is None


@pytest.mark.parametrize("limit", [1, 5])
def test_an_empty_library_gives_an_empty_page(limit: int) -> None:
    page = rank_page(Library({}).propose, Library({}).score, limit=limit, after=None)
    assert page.hits == []
    assert page.next_position is None
