"""Token buckets: what passes, what waits, what is remembered."""

import threading

import pytest

from service.access.limits import (
    WINDOW_S,
    CostClass,
    RateLimited,
    RateLimits,
    TokenBuckets,
    TooManyFailures,
)
from service.api.cost import cost_class

SEARCH, UPLOAD = CostClass.SEARCH, CostClass.UPLOAD


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


def limits_of(clock: Clock, per_min: int, max_buckets: int = 100) -> RateLimits:
    buckets = TokenBuckets(max_buckets=max_buckets, clock=clock)
    return RateLimits(dict.fromkeys(CostClass, per_min), enabled=True, buckets=buckets)


def test_a_minutes_worth_at_once_and_then_the_rate(clock: Clock) -> None:
    limits = limits_of(clock, 6)
    left = [limits.take(SEARCH, "a") for _ in range(6)]
    assert [taken and taken.left for taken in left] == [5, 4, 3, 2, 1, 0]
    with pytest.raises(RateLimited) as refused:
        limits.take(SEARCH, "a")
    assert refused.value.retry_after_s == WINDOW_S / 6
    clock.now += 9.9
    with pytest.raises(RateLimited) as refused:
        limits.take(SEARCH, "a")
    assert refused.value.retry_after_s == 1
    clock.now += 0.1
    assert limits.take(SEARCH, "a")
    with pytest.raises(RateLimited):
        limits.take(SEARCH, "a")


def test_what_is_refused_costs_nothing(clock: Clock) -> None:
    limits = limits_of(clock, 1)
    limits.take(SEARCH, "a")
    for _ in range(50):
        with pytest.raises(RateLimited):
            limits.take(SEARCH, "a")
    clock.now += WINDOW_S
    assert limits.take(SEARCH, "a")


def test_callers_and_classes_are_counted_apart(clock: Clock) -> None:
    limits = limits_of(clock, 1)
    limits.take(SEARCH, "a")
    assert limits.take(SEARCH, "b")
    assert limits.take(UPLOAD, "a")
    with pytest.raises(RateLimited):
        limits.take(SEARCH, "a")


def test_a_factor_multiplies_the_rate(clock: Clock) -> None:
    limits = limits_of(clock, 2)
    for _ in range(6):
        limits.take(SEARCH, "a", factor=3.0)
    with pytest.raises(RateLimited):
        limits.take(SEARCH, "a", factor=3.0)
    limits.take(SEARCH, "b", factor=0.001)
    with pytest.raises(RateLimited):
        limits.take(SEARCH, "b", factor=0.001)


def test_a_bucket_never_holds_more_than_a_minute(clock: Clock) -> None:
    limits = limits_of(clock, 3)
    limits.take(SEARCH, "a")
    clock.now += 3600
    taken = limits.take(SEARCH, "a")
    assert taken is not None
    assert taken.left == 2


def test_memory_is_bounded_however_many_callers_come(clock: Clock) -> None:
    buckets = TokenBuckets(max_buckets=100, clock=clock)
    for number in range(10_000):
        buckets.take(SEARCH, f"caller {number}", 10)
    assert len(buckets) == 100
    clock.now += WINDOW_S
    buckets.take(SEARCH, "one more", 10)
    assert len(buckets) == 1, "what is full again is forgotten"


def test_a_flood_of_strangers_does_not_free_who_keeps_calling(clock: Clock) -> None:
    limits = limits_of(clock, 5, max_buckets=10)
    for _ in range(5):
        limits.take(SEARCH, "greedy")
    for number in range(50):
        limits.take(SEARCH, f"stranger {number}")
        with pytest.raises(RateLimited):
            limits.take(SEARCH, "greedy")


def test_failures_are_counted_apart_and_looking_costs_nothing(clock: Clock) -> None:
    limits = limits_of(clock, 2)
    for _ in range(10):
        limits.check_failures("a")
    limits.note_failure("a")
    limits.check_failures("a")
    limits.note_failure("a")
    with pytest.raises(TooManyFailures):
        limits.check_failures("a")
    limits.check_failures("b")
    clock.now += 30
    limits.check_failures("a")


def test_disabled_limits_count_nothing(clock: Clock) -> None:
    limits = RateLimits(dict.fromkeys(CostClass, 1), enabled=False)
    assert all(limits.take(SEARCH, "a") is None for _ in range(10))
    for _ in range(10):
        limits.note_failure("a")
        limits.check_failures("a")


def test_threads_do_not_get_more_than_there_is(clock: Clock) -> None:
    limits = limits_of(clock, 500)
    passed: list[int] = []

    def call() -> None:
        for _ in range(200):
            try:
                limits.take(SEARCH, "a")
                passed.append(1)
            except RateLimited:
                pass

    threads = [threading.Thread(target=call) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(passed) == 500


@pytest.mark.parametrize(
    ("method", "template", "kind"),
    [
        ("GET", "/search", "search"), ("POST", "/search", "search"),
        ("POST", "/search/audio", "search"), ("GET", "/tracks/{track_id}/passages", "search"),
        ("POST", "/tracks", "upload"), ("POST", "/imports", "upload"),
        ("POST", "/embeddings/import", "upload"), ("POST", "/embeddings", "model"),
        ("POST", "/tags", "model"), ("POST", "/tags/audio", "model"),
        ("GET", "/tracks", "other"), ("GET", "/tracks/{track_id}/audio", "other"),
        ("POST", "/tracks/bulk/update", "other"), ("DELETE", "/tracks/{track_id}", "other"),
        ("GET", "/keys", "other"),
    ],
)  # fmt: skip
def test_what_each_call_counts_as(method: str, template: str, kind: str) -> None:
    assert cost_class(method, template) == kind
