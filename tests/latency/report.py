"""What a run found, as JSON and as the tables of docs/latency.md."""

from __future__ import annotations

import json
import os
import platform
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tests.latency.measuring import Crowd, Timing

_MIB = 1024 * 1024
_PACKAGES = ("faiss-cpu", "onnxruntime", "sqlalchemy", "fastapi")


@dataclass
class Report:
    """All figures of one run."""

    database: str
    tracks: int
    clips: int
    tag_values: int
    model_id: str
    library_made_in_s: float
    starts: dict[str, dict[str, float | None]] = field(default_factory=dict)
    memory_bytes: dict[str, int] = field(default_factory=dict)
    filters: dict[str, int] = field(default_factory=dict)
    calls: dict[str, list[Timing]] = field(default_factory=dict)
    crowds: list[Crowd] = field(default_factory=list)
    machine: dict[str, Any] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Both files; may be called again as figures come in."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "latency.json").write_text(json.dumps(asdict(self), indent=1), encoding="utf-8")
        (folder / "latency.md").write_text(markdown(self), encoding="utf-8")


def describe_machine() -> dict[str, Any]:
    """What the figures depend on beside the code."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        **{name: version(name) for name in _PACKAGES},
        "load_before": round(os.getloadavg()[0], 2),
    }


def markdown(report: Report) -> str:
    """The tables; what they mean is said by the page that holds them."""
    lines = [
        f"{report.tracks:,} tracks, {report.clips:,} clips, {report.tag_values:,} tag values on "
        f"{report.database}; model `{report.model_id}`; "
        + ", ".join(f"{name} {value}" for name, value in report.machine.items()),
        "",
        *_table(
            ("start", "ready after s", "of which the index s"),
            ((name, each["ready_s"], each["index_s"]) for name, each in report.starts.items()),
        ),
        *_table(
            ("memory", "MiB"),
            ((name, round(size / _MIB)) for name, size in report.memory_bytes.items()),
        ),
        *_table(("filter", "tracks that pass"), report.filters.items()),
    ]
    for area, timings in report.calls.items():
        lines += [f"### {area}", "", *_table(_HEADS, map(_row, timings))]
    if report.crowds:
        lines += ["### Several at once", ""]
        lines += _table(
            ("what", "callers", "calls/s", "p50 ms", "p95 ms"),
            (
                (each.name, each.callers, each.calls_per_s, each.p50_ms, each.p95_ms)
                for each in report.crowds
            ),
        )
    return "\n".join(lines)


_HEADS = ("call", "what", "p50 ms", "p95 ms", "server CPU ms", "times")


def _row(timing: Timing) -> tuple[Any, ...]:
    return (
        f"`{timing.operation}`",
        timing.name,
        _short(timing.p50_ms),
        _short(timing.p95_ms),
        _short(timing.cpu_ms),
        timing.rounds,
    )


def _short(ms: float) -> str:
    return f"{ms:.1f}" if ms < 10 else f"{ms:.0f}"


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    shown = [f"| {' | '.join(_cell(value) for value in row)} |" for row in rows]
    if not shown:
        return []
    return [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads), *shown, ""]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int) else str(value)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
