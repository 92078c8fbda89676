"""A real `muquery serve` with the shipped bundle and shipped settings, and what it takes."""

from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from tests.support.process import Server, environment, serving

START_S = 1800.0
"""Without a saved index the first start builds one, which takes minutes at 100,000 tracks."""

_OURS = ("MODEL", "THREADS", "INDEX_POLL_S", "JOB_POLL_S", "MIN_FREE_BYTES")
_STAMP = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),(\d{3}) ")
_INDEX_READY = "the index is ready"
_MODEL_READY = "loaded model"


@dataclass(frozen=True)
class Start:
    """Seconds from the process's beginning: to its first answer as ready, and parts of that."""

    ready_s: float
    index_s: float | None
    """From the model's being there to the index's; None where the log does not tell."""


class RunningServer:
    """A server, seen from outside."""

    def __init__(self, server: Server, start: Start) -> None:
        self.api = server.api
        self.start = start
        self.pid = server.process.pid

    def resident_bytes(self) -> int:
        """Memory in use now."""
        return _status_bytes(self.pid, "VmRSS")

    def peak_bytes(self) -> int:
        """The most memory that was ever in use."""
        return _status_bytes(self.pid, "VmHWM")

    def cpu_s(self) -> float:
        """Processor time used so far, of all threads."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def running(
    data_dir: Path, database_url: str, *, model: Path | None = None, python: str = sys.executable
) -> Iterator[RunningServer]:
    """A server on this library, without a worker: nothing else is going on beside the calls.

    It is asked to stop at the end, so that it saves its index.
    """
    env = environment(data_dir, database_url, WORKER="off", LOG_LEVEL="info")
    for name in _OURS:
        env.pop(f"MUQUERY_{name}")
    env.pop("OMP_NUM_THREADS")
    if model is not None:
        env["MUQUERY_MODEL"] = str(model)
    began, clock = time.perf_counter(), time.time()
    with serving(env, python=python, start_s=START_S) as server:
        ready_s = time.perf_counter() - began
        yield RunningServer(server, Start(ready_s, _index_s(server.output, clock)))
        server.process.terminate()
        server.process.wait(START_S)


def _index_s(log: list[str], began: float) -> float | None:
    index_at = _time_of(log, _INDEX_READY)
    model_at = _time_of(log, _MODEL_READY)
    if index_at is None:
        return None
    return index_at - (began if model_at is None else model_at)


def _time_of(log: list[str], said: str) -> float | None:
    for line in log:
        stamp = _STAMP.match(line)
        if said in line and stamp:
            at = datetime.strptime(stamp[1], "%Y-%m-%d %H:%M:%S").astimezone()
            return at.timestamp() + int(stamp[2]) / 1000
    return None


def _status_bytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc tells no {name}")
