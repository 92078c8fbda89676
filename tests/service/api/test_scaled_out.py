"""The scaled shape: PostgreSQL, S3 and Milvus, and processes that share nothing else."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest

from tests.support.milvus import MilvusServer
from tests.support.process import Server, environment, serving
from tests.support.s3 import ACCESS_KEY, BUCKET, SECRET_KEY, S3Server
from tests.support.service import eventually

pytestmark = [pytest.mark.cluster, pytest.mark.postgres]

WAIT_S = 60.0


@dataclass
class Scaled:
    """Two servers that only serve and one worker, each with a data folder of its own."""

    first: Server
    second: Server
    folder: Path


@pytest.fixture
def scaled(
    tmp_path: Path, postgres_url: str, s3_server: S3Server, milvus_server: MilvusServer
) -> Iterator[Scaled]:
    def env(name: str) -> dict[str, str]:
        return environment(
            tmp_path / name,
            postgres_url,
            WORKER="off",
            BLOB_URL=f"s3://{BUCKET}/{prefix}",
            S3_ENDPOINT=s3_server.endpoint,
            S3_ACCESS_KEY=ACCESS_KEY,
            S3_SECRET_KEY=SECRET_KEY,
            INDEX_ENGINE="milvus",
            MILVUS_URL=milvus_server.url,
        )

    prefix = f"scaled/{uuid4().hex}"
    with ExitStack() as stack:
        first = stack.enter_context(serving(env("first")))
        second = stack.enter_context(serving(env("second")))
        stack.enter_context(working(env("worker")))
        yield Scaled(first, second, tmp_path)


@contextmanager
def working(env: dict[str, str]) -> Iterator[None]:
    """A `muquery worker` of its own; its end must be orderly."""
    process = subprocess.Popen(
        [sys.executable, "-m", "muquery", "worker"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=30)
        assert process.returncode == 0, output
        assert "Traceback" not in output, output
        assert SECRET_KEY not in output
    finally:
        process.kill()
        process.communicate()


def send(server: Server, path: Path) -> str:
    """Upload, wait for the worker, return the track's id."""
    with path.open("rb") as file:
        sent = httpx.post(f"{server.api}/tracks", files={"file": file}, timeout=60).json()
    address = f"{server.api}/jobs/{sent['job']['id']}"

    def state() -> str | None:
        now: str = httpx.get(address, timeout=30).json()["state"]
        return now if now in ("done", "failed") else None

    assert eventually(state, WAIT_S) == "done"
    track_id: str = sent["track"]["id"]
    return track_id


def found(server: Server, level: str = "track") -> set[str]:
    answer = httpx.get(f"{server.api}/search?q=tone&limit=100&level={level}", timeout=30)
    assert answer.status_code == 200, answer.text
    return {hit["track"]["id"] for hit in answer.json()["items"]}


def test_processes_that_share_only_the_three_engines(
    scaled: Scaled, tones: dict[str, Path]
) -> None:
    first, second = scaled.first, scaled.second
    low, high = send(first, tones["low"]), send(second, tones["high"])
    for server in (first, second):
        eventually(lambda: found(server) == {low, high}, WAIT_S)  # noqa: B023 - used at once
        eventually(lambda: found(server, "passage") == {low, high}, WAIT_S)  # noqa: B023

    content = tones["low"].read_bytes()
    audio = f"{second.api}/tracks/{low}/audio"
    assert httpx.get(audio, timeout=30).content == content
    part = httpx.get(audio, headers={"Range": "bytes=100-299"}, timeout=30)
    assert (part.status_code, part.content) == (206, content[100:300])
    kept = [path for path in scaled.folder.rglob("*") if path.is_file()]
    assert [path for path in kept if path.stat().st_size >= 1000] == [], "no file stays local"

    assert httpx.delete(f"{first.api}/tracks/{low}", timeout=30).status_code == 204
    assert found(second) == found(second, "passage") == {high}
    assert httpx.get(audio, timeout=30).status_code == 404

    state = httpx.get(f"{second.api}/index", timeout=30).json()
    assert (state["engine"], state["approximate"]) == ("milvus", True)
    verified = httpx.post(f"{second.api}/index/verify", timeout=60).json()
    assert verified["ok"], verified

    # Whichever of the two applies changes: when it dies, the other takes over.
    first.process.kill()
    first.process.wait()
    middle = send(second, tones["middle"])
    eventually(lambda: found(second) == {high, middle}, WAIT_S)
    assert httpx.post(f"{second.api}/index/verify", timeout=60).json()["ok"]
    assert SECRET_KEY not in "".join(first.output + second.output)
