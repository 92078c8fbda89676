"""The benchmark works and leaves no operation out; its figures come from `make bench`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.latency.operation_calls import NOT_MEASURED
from tests.latency.run import Plan, areas, run
from tests.support.process import ROOT, TINY_BUNDLE

API_PREFIX = "/api/v1"


def operations() -> set[str]:
    """Every operation of the API, such as "GET /tracks"."""
    document = json.loads((ROOT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    return {
        f"{method.upper()} {path.removeprefix(API_PREFIX)}"
        for path, methods in document["paths"].items()
        for method in methods
    }


def test_every_operation_is_measured_or_says_why_not() -> None:
    measured = {call.operation for calls in areas(long=True).values() for call in calls}
    assert measured | NOT_MEASURED.keys() == operations()
    assert not measured & NOT_MEASURED.keys()


def test_no_two_calls_have_one_name() -> None:
    names = [(c.operation, c.name) for calls in areas(long=True).values() for c in calls]
    assert len(names) == len(set(names))


@pytest.mark.slow
def test_each_call_succeeds_on_a_small_library(tmp_path: Path) -> None:
    plan = Plan(
        library=tmp_path / "library",
        out=tmp_path / "out",
        tracks=2_500,
        model=TINY_BUNDLE,
        long=True,
        rounds=1,
        crowd_s=0.5,
    )
    report = run(plan)
    timed = {timing.operation for timings in report.calls.values() for timing in timings}
    assert timed == operations() - NOT_MEASURED.keys()
    assert all(count < plan.tracks for count in report.filters.values())
    kept = json.loads((plan.out / "latency.json").read_text(encoding="utf-8"))
    assert kept["tracks"] == plan.tracks
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("library")] == [
        "library"
    ], "the copy that calls worked on is gone"


@pytest.mark.bench
def test_latency_of_a_large_library(tmp_path: Path) -> None:
    run(Plan(library=tmp_path / "library", out=tmp_path / "out", tracks=100_000, long=True))
    print((tmp_path / "out" / "latency.md").read_text(encoding="utf-8"))
