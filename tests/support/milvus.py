"""A real Milvus for tests: the standalone server of the package `milvus`, in a temporary folder.

The package pins old libraries, so it lives in an environment of its own (docs/scaling.md), which
is looked for in `.venv-milvus` or where MUQUERY_TEST_MILVUS_PYTHON points. Where it is absent the
tests that need it are skipped, and pytest's summary says so; with MUQUERY_TEST_MILVUS=required
they fail instead.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_ROOT = Path(__file__).resolve().parents[2]
# The package's own wait does not notice a server that has ended. This one ends with its standard
# input, so that no server outlives a killed test run.
_SERVER = """
import os, signal, sys, time, urllib.request
from milvus import default_server as server
server.set_base_dir(sys.argv[1])
server.listen_port = int(sys.argv[2])
server.wait_for_started = False
server.start()
for _ in range(600):
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{server.webservice_port}/healthz", timeout=5)
        break
    except OSError:
        if server.server_proc.poll() is not None:
            break
        time.sleep(0.2)
time.sleep(1)
if server.server_proc.poll() is None:
    print("started", flush=True)
    sys.stdin.read()
    os.kill(server.server_proc.pid, signal.SIGKILL)
os._exit(0)
"""


@dataclass(frozen=True)
class MilvusServer:
    """A running server."""

    url: str


@pytest.fixture(scope="session")
def milvus_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MilvusServer]:
    python = _find_python()
    if python is None:
        reason = "NOT TESTED ON MILVUS: no environment with the server (see docs/scaling.md)"
        if os.environ.get("MUQUERY_TEST_MILVUS") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    folder = tmp_path_factory.mktemp("milvus")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [str(python), "-c", _SERVER, str(folder), str(port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    try:
        assert process.stdout is not None
        if process.stdout.readline() != b"started\n":
            said = (folder / "log").read_text(errors="replace")[-2000:]
            raise RuntimeError(f"Milvus did not start: {said}")
        yield MilvusServer(f"http://127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def _find_python() -> Path | None:
    named = os.environ.get("MUQUERY_TEST_MILVUS_PYTHON")
    python = Path(named) if named else _ROOT / ".venv-milvus" / "bin" / "python"
    if not python.exists():
        return None
    check = subprocess.run([str(python), "-c", "import milvus"], capture_output=True, check=False)
    return python if check.returncode == 0 else None
