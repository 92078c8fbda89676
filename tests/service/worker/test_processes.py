"""Real processes: a worker that cannot load its model is seen; a killed service's jobs go on."""

from __future__ import annotations

import json
import shutil
import signal
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.audio import write_audio
from tests.support.encoder import tone
from tests.support.process import (
    TINY_BUNDLE,
    Server,
    environment,
    run_muquery,
    serving,
)
from tests.support.service import eventually

pytestmark = pytest.mark.slow

WAIT_S = 120.0
RATE_HZ = 24_000


def get(server: Server, path: str) -> Any:
    return httpx.get(f"{server.api}{path}", timeout=WAIT_S).json()


def send(server: Server, path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        answer = httpx.post(f"{server.api}/tracks", files={"file": file}, timeout=WAIT_S)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()["job"]
    return job


def test_a_worker_whose_model_is_damaged_is_seen_by_everyone(
    tmp_path: Path, database_url: str
) -> None:
    bundle = tmp_path / "bundle"
    shutil.copytree(TINY_BUNDLE, bundle)
    env = environment(tmp_path / "data", database_url, WORKER="off", MODEL=str(bundle))
    with serving(env) as server:
        (bundle / "audio.onnx").write_bytes(b"damaged")
        ended = run_muquery("worker", env=env)
        assert ended.returncode == 1
        assert "the model cannot be loaded" in ended.stderr
        (worker,) = get(server, "/workers")["items"]
        assert (worker["role"], worker["state"]) == ("worker", "failed")
        assert "audio.onnx" in worker["problem"]
        path = write_audio(tmp_path / "a.wav", tone(300.0, 2.0), RATE_HZ)
        assert send(server, path)["problem"]["code"] == "worker_failed"
        assert get(server, "/health/ready")["problem"]["code"] == "worker_failed"
        told = run_muquery("status", "--url", server.url, env=env)
        assert told.returncode == 1
        assert "failed" in told.stdout
        assert "audio.onnx" in "".join(told.stdout.split())
        as_json = run_muquery("status", "--json", "--url", server.url, env=env)
        assert json.loads(as_json.stdout)["workers"]["problem"]["code"] == "worker_failed"


def test_a_killed_service_goes_on_at_its_next_start_and_not_an_hour_later(
    tmp_path: Path, database_url: str
) -> None:
    env = environment(tmp_path / "data", database_url, JOB_LEASE_S="3600", CLIP_BATCH="1")
    path = write_audio(tmp_path / "long.wav", tone(300.0, 600.0), RATE_HZ)
    with serving(env) as server:
        job = send(server, path)

        def is_at_work() -> bool:
            found = get(server, f"/jobs/{job['id']}")
            assert found["state"] != "done", "too short a track to be killed in the middle of"
            return bool(found["state"] == "running")

        eventually(is_at_work, WAIT_S)
        server.process.send_signal(signal.SIGKILL)
        server.process.wait()
    with serving(env) as server:
        found = eventually(
            lambda: (lambda j: j if j["state"] == "done" else None)(
                get(server, f"/jobs/{job['id']}")
            ),
            WAIT_S,
        )
        assert found["attempts"] == 2
        workers = get(server, "/workers")["items"]
        assert [worker["state"] for worker in workers] == ["ready"]
        told = run_muquery("status", "--url", server.url, env=env)
        assert told.returncode == 0, told.stderr
        assert "ready" in told.stdout
