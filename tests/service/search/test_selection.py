"""Fusing, limits and copies, and that their pages neither repeat nor skip."""

import random
from collections import Counter
from collections.abc import Iterable

import pytest
from hypothesis import given as given_examples
from hypothesis import settings
from hypothesis import strategies as st

from service.errors import InvalidCursor
from service.search.cursor import MAX_GIVEN, decode_given, encode_given
from service.search.fusion import RRF_K, fuse
from service.search.matching import judge_match
from service.search.selection import Selected, SelectionRules, TrackFacts, select_hits

FINGERPRINT = "f" * 24


class CopiesByClass:
    """Tracks of one class are copies of each other."""

    def __init__(self, classes: dict[int, int]) -> None:
        self.classes = classes
        self.shown: dict[int, int] = {}

    def add(self, track_pk: int) -> None:
        self.shown.setdefault(self.classes[track_pk], track_pk)

    def find_shown(self, track_pk: int) -> int | None:
        return self.shown.get(self.classes[track_pk])


def select(
    ranking: Iterable[int],
    rules: SelectionRules,
    facts: dict[int, TrackFacts],
    *,
    given: Iterable[int] = (),
    classes: dict[int, int] | None = None,
) -> list[Selected]:
    return select_hits(
        ranking,
        given=frozenset(given),
        rules=rules,
        track_of=lambda hit_id: hit_id,
        facts=facts,
        copies=CopiesByClass(classes) if classes else None,
    )


def test_fusing_rewards_what_both_rankings_hold() -> None:
    fused = fuse([[1, 2, 3], [3, 4]])
    assert [hit.hit_id for hit in fused] == [3, 1, 2, 4]
    assert fused[0].score == pytest.approx(1 / (RRF_K + 3) + 1 / (RRF_K + 1))
    assert [hit.hit_id for hit in fuse([[1], [2]])] == [1, 2], "the first ranking decides ties"
    assert [hit.hit_id for hit in fuse([[], [2, 1]])] == [2, 1]
    assert fuse([]) == []


def test_limits_keep_the_best_and_count_names_once() -> None:
    facts = {
        1: TrackFacts("bach", "suites"),
        2: TrackFacts("bach", "suites"),
        3: TrackFacts("bach", "partitas"),
        4: TrackFacts(None, None),
        5: TrackFacts(None, None),
        6: TrackFacts("bach", "fugues"),
    }
    chosen = select(range(1, 7), SelectionRules(max_per_artist=2, max_per_album=1), facts)
    assert [hit.hit_id for hit in chosen] == [1, 3, 4, 5]
    chosen = select(range(1, 7), SelectionRules(max_per_artist=1), facts)
    assert [hit.hit_id for hit in chosen] == [1, 4, 5]


def test_copies_are_named_by_the_one_that_is_shown() -> None:
    facts = {pk: TrackFacts(None, None) for pk in range(1, 6)}
    classes = {1: 1, 2: 2, 3: 1, 4: 1, 5: 2}
    rules = SelectionRules(collapse_duplicates=True)
    chosen = select([1, 2, 3, 4, 5], rules, facts, classes=classes)
    assert chosen == [Selected(1, (3, 4)), Selected(2, (5,))]
    later = select([1, 2, 3, 4, 5], rules, facts, given=[1], classes=classes)
    assert later == [Selected(2, (5,))], "a copy of what was given stays hidden"


@settings(max_examples=60, deadline=None)
@given_examples(
    st.integers(0, 10_000), st.integers(1, 5), st.integers(1, 3), st.integers(1, 2), st.booleans()
)
def test_pages_are_the_whole_list_cut(
    seed: int, limit: int, per_artist: int, per_album: int, collapses: bool
) -> None:
    rng = random.Random(seed)
    ids = list(range(40))
    facts = {i: TrackFacts(rng.choice("abcd"), rng.choice("xyz")) for i in ids}
    classes = {i: rng.randrange(25) for i in ids}
    rules = SelectionRules(per_artist, per_album, collapses)
    rng.shuffle(ids)
    known = classes if collapses else None
    whole = [hit.hit_id for hit in select(ids, rules, facts, classes=known)]
    paged: list[int] = []
    while True:
        cursor = encode_given(FINGERPRINT, paged)
        given = decode_given(cursor, FINGERPRINT)
        page = select(ids, rules, facts, given=given, classes=known)[:limit]
        if not page:
            break
        paged += [hit.hit_id for hit in page]
    assert paged == whole


@settings(max_examples=40, deadline=None)
@given_examples(st.integers(0, 10_000))
def test_a_library_that_changes_repeats_nothing_and_hides_nothing(seed: int) -> None:
    """Between two pages the ranking is shuffled, tracks go, others come."""
    rng = random.Random(seed)
    alive = set(range(30))
    stayed = set(alive)
    facts = {i: TrackFacts(rng.choice("abcdef"), None) for i in range(100)}
    rules = SelectionRules(max_per_artist=2)
    seen: list[int] = []
    while True:
        ranking = sorted(alive, key=lambda _: rng.random())
        present = {i: facts[i] for i in alive}
        page = select(ranking, rules, present, given=seen)[:3]
        if not page:
            break
        seen += [hit.hit_id for hit in page]
        gone = rng.sample(sorted(alive), 2)
        alive -= set(gone)
        stayed -= set(gone)
        alive.add(max(max(alive), 30) + 1)
    assert len(seen) == len(set(seen))
    shown = Counter(facts[i].artist for i in seen if i in alive)
    for pk in stayed - set(seen):
        assert shown[facts[pk].artist] >= 2, "left out although its artist had room"


@settings(max_examples=100, deadline=None)
@given_examples(st.sets(st.integers(0, (1 << 62) - 1), max_size=60))
def test_a_cursor_holds_any_hits(hit_ids: set[int]) -> None:
    cursor = encode_given(FINGERPRINT, hit_ids)
    assert decode_given(cursor, FINGERPRINT) == hit_ids
    with pytest.raises(InvalidCursor):
        decode_given(cursor, "0" * 24)


def test_cursors_stay_small_and_foreign_ones_are_refused() -> None:
    assert len(encode_given(FINGERPRINT, range(0, 100_000, 100))) < 1_500
    too_many = encode_given(FINGERPRINT, range(MAX_GIVEN + 1))
    huge = encode_given(FINGERPRINT, [1 << 70])
    for broken in (too_many, huge, "", "x", "é", "=" * 40, "A" * 40_000, FINGERPRINT):
        with pytest.raises(InvalidCursor):
            decode_given(broken, FINGERPRINT)
    import base64

    unfinished = base64.urlsafe_b64encode(FINGERPRINT.encode() + b"\x80").decode()
    with pytest.raises(InvalidCursor):
        decode_given(unfinished, FINGERPRINT)


def test_the_verdict_on_an_answer() -> None:
    def verdict(
        relevance: float | None, share: float | None = None, *, has_hits: bool = True
    ) -> str:
        return judge_match(has_hits=has_hits, best_relevance=relevance, best_share=share)

    assert verdict(None, has_hits=False) == "none"
    assert verdict(0.95) == "good"
    assert verdict(0.5) == "weak"
    assert verdict(0.5, 0.7) == "good"
    assert verdict(None, 0.2) == "weak"
    assert verdict(None) == "good"
