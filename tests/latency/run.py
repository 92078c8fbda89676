"""A whole run: library, server, every call, several callers, memory, report."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path

import models
from service.database.migrate import migrate
from tests.latency.call import Call, Caller
from tests.latency.library import LibraryFacts, find_library, make_library
from tests.latency.library_calls import library_reads, library_writes, tag_reads
from tests.latency.measuring import ROUNDS, Crowd, crowd, measure
from tests.latency.operation_calls import long_calls, operation_reads, operation_writes
from tests.latency.report import Report, describe_machine
from tests.latency.search_calls import FILTERS, filter_of, search_calls
from tests.latency.server import RunningServer, running

CROWD = 8
CROWD_S = 6.0


@dataclass(frozen=True)
class Plan:
    """What to measure, and where."""

    library: Path
    out: Path
    tracks: int
    database_url: str | None = None
    model: Path | None = None
    only: str = ""
    long: bool = False
    rounds: int = ROUNDS
    crowd_s: float = CROWD_S


def areas(*, long: bool) -> dict[str, list[Call]]:
    """Every call, in the order in which they may run: what changes things comes last."""
    found = {
        "Search": list(search_calls()),
        "Tracks, facets": list(library_reads()),
        "Tags": list(tag_reads()),
        "Operation": list(operation_reads()),
        "Changes of tracks": list(library_writes()),
        "Other changes": list(operation_writes()),
    }
    return {**found, "Long calls": list(long_calls())} if long else found


def run(plan: Plan) -> Report:
    """Measure, and write the report after each part."""
    facts = _library(plan)
    report = Report(
        database="SQLite" if plan.database_url is None else "PostgreSQL",
        tracks=facts.tracks,
        clips=facts.clips,
        tag_values=facts.tag_values,
        model_id=facts.model_id,
        library_made_in_s=facts.made_in_s,
        machine=describe_machine(),
    )
    with _copy(plan) as (folder, url), running(folder, url, model=plan.model) as server:
        report.starts["with a saved index"] = asdict(server.start)
        report.memory_bytes["after the start"] = server.resident_bytes()
        callers = [Caller(server.api, facts, seed=seed) for seed in range(CROWD + 1)]
        try:
            _measure_all(plan, report, server, callers)
        finally:
            for caller in callers:
                caller.close()
    return report


def _measure_all(plan: Plan, report: Report, server: RunningServer, callers: list[Caller]) -> None:
    first = callers[0]
    for name in FILTERS:
        body = {"query": [{"text": "calm"}], "filter": filter_of(name, first)}
        selection = {"filter": body["filter"], "set": {"year": 1}, "dry_run": True}
        answer = first.http.post("/tracks/bulk/update", json=selection)
        said = answer.json()
        report.filters[name] = (
            said["matched"] if answer.is_success else said["error"]["details"]["matched"]
        )
    for area, calls in areas(long=plan.long).items():
        wanted = [call for call in calls if re.search(plan.only, f"{call.operation} {call.name}")]
        if not wanted:
            continue
        report.calls[area] = []
        for timing in measure(wanted, first, server, rounds=plan.rounds):
            report.calls[area].append(timing)
            print(f"{timing.operation:42} {timing.name:42} {timing.p50_ms:9} {timing.p95_ms:9}"
                  f"  cpu {timing.cpu_ms}")  # fmt: skip
        report.memory_bytes[f"after: {area.lower()}"] = server.resident_bytes()
        if area == "Search" and not plan.only:
            report.crowds += _crowds(plan, callers[1:])
        report.write(plan.out)
    report.memory_bytes["at most"] = server.peak_bytes()
    report.write(plan.out)


def _crowds(plan: Plan, callers: list[Caller]) -> Iterator[Crowd]:
    by_name = {call.name: call for call in search_calls() if call.operation == "POST /search"}
    new = by_name["a text never asked before"]
    mixed = [
        new,
        by_name["like a track"],
        by_name["filter: ten years"],
        by_name["hybrid: two words"],
        *(
            call
            for call in chain(library_reads())
            if call.name in ("first page", "one track", "stored tags", "its peaks")
        ),
    ]
    yield crowd("searches for new texts, one caller", [new], callers[:1], for_s=plan.crowd_s)
    yield crowd("searches for new texts", [new], callers, for_s=plan.crowd_s)
    yield crowd("searches, pages and tracks mixed", mixed, callers, for_s=plan.crowd_s)


def _library(plan: Plan) -> LibraryFacts:
    """The kept library, or a new one with its index built and saved by a server's first start."""
    encoder = models.load_bundle(None if plan.model is None else str(plan.model))
    url = plan.database_url or _sqlite(plan.library)
    facts = find_library(plan.library, plan.tracks, encoder.model_id)
    if facts is not None:
        migrate(url)
        return facts
    shutil.rmtree(plan.library, ignore_errors=True)
    facts = make_library(plan.library, url, encoder, plan.tracks)
    with running(plan.library, url, model=plan.model) as server:
        print(f"made in {facts.made_in_s} s; first start {asdict(server.start)}")
    return facts


@contextmanager
def _copy(plan: Plan) -> Iterator[tuple[Path, str]]:
    """A library to change; a PostgreSQL database is changed in its place."""
    folder = Path(tempfile.mkdtemp(prefix=plan.library.name, dir=plan.library.parent))
    try:
        shutil.copytree(plan.library, folder, dirs_exist_ok=True)
        yield folder, plan.database_url or _sqlite(folder)
    finally:
        shutil.rmtree(folder)


def _sqlite(folder: Path) -> str:
    return f"sqlite:///{folder / 'muquery.sqlite3'}"
