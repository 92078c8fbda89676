"""`muquery` as a process of its own, with the tiny real bundle."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.support.service import API, eventually

ROOT = Path(__file__).resolve().parents[2]
TINY_BUNDLE = ROOT / "tests" / "data" / "tiny_bundle"
START_S = 60.0
_ADDRESS = re.compile(r"http://\S+:\d+")


def environment(data_dir: Path, database_url: str, **settings: str) -> dict[str, str]:
    """Variables of a process that knows nothing of the developer's own settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("MUQUERY_")}
    own = {
        "DATA_DIR": str(data_dir),
        "DATABASE_URL": database_url,
        "MODEL": str(TINY_BUNDLE),
        "DEMO_LIBRARY": "false",
        "THREADS": "1",
        "INDEX_POLL_S": "0.05",
        "JOB_POLL_S": "0.05",
        "MIN_FREE_BYTES": "0",
        "LOG_LEVEL": "warning",
    }
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "COLUMNS": "160",
        **{f"MUQUERY_{name}": value for name, value in (own | settings).items()},
    }


def run_muquery(*arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "muquery", *arguments],
        env=env,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )


@dataclass
class Server:
    """A running `muquery serve`."""

    process: subprocess.Popen[str]
    url: str
    output: list[str]

    @property
    def api(self) -> str:
        return self.url + API

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@contextmanager
def serving(
    env: dict[str, str],
    *arguments: str,
    python: str | Path = sys.executable,
    start_s: float = START_S,
) -> Iterator[Server]:
    """A server on a free port, ready to answer; killed after the block if it still runs."""
    process = subprocess.Popen(
        [str(python), "-m", "muquery", "serve", "--port", "0", *arguments],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    output: list[str] = []
    reader = threading.Thread(target=_collect, args=(process, output), daemon=True)
    reader.start()
    try:
        url = eventually(lambda: _address(process, output), start_s)
        server = Server(process, url, output)
        eventually(
            lambda: httpx.get(f"{server.api}/health/ready", timeout=START_S).is_success, start_s
        )
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        reader.join()
        assert process.stdout is not None
        process.stdout.close()


def _collect(process: subprocess.Popen[str], output: list[str]) -> None:
    assert process.stdout is not None
    for line in process.stdout:
        output.append(line)


def _address(process: subprocess.Popen[str], output: list[str]) -> str | None:
    if process.poll() is not None:
        raise AssertionError("the server ended: " + "".join(output))
    found = _ADDRESS.search("".join(output))
    return found.group() if found else None
