"""Who works is told by GET /workers, by readiness, by what waits in vain, and by metrics."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.jobs.workers import Sign, WorkerState
from service.runtime import Services
from tests.support.service import API, eventually, make_settings, running_service, upload
from tests.support.tones import write_tones

Running = tuple[TestClient, Services]


@pytest.fixture
def alone(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """A service that answers and does not work, one upload in it, and a folder's import."""
    music = tmp_path / "music"
    music.mkdir()
    write_tones(music, {"low": 150.0}, duration_s=2.0)
    settings = make_settings(tmp_path / "data", database_url, worker="off", import_roots=str(music))
    with running_service(settings) as running:
        upload(running[0], music / "low.wav")
        yield running


def get(client: TestClient, path: str) -> Any:
    answer = client.get(f"{API}{path}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_what_waits_for_nobody_says_so(alone: Running, tmp_path: Path) -> None:
    client, services = alone
    body = {"source": "folder", "folder": str(tmp_path / "music")}
    batch = client.post(f"{API}/imports", json=body).json()
    (job,) = get(client, "/jobs")["items"]
    found = get(client, "/workers")
    health = get(client, "/health/ready")
    assert health["status"] == "ok", "queries are answered without a worker"
    for problem in (job["problem"], found["problem"], health["problem"]):
        assert problem["code"] == "no_worker"
        assert "muquery worker" in problem["message"]
    assert (found["items"], found["waiting_jobs"]) == ([], 1)
    assert batch["error_code"] == "no_worker"
    assert upload(client, tmp_path / "music" / "low.wav").json()["duplicate"]

    ready = Sign(WorkerState.READY, (services.encoder.get().model_id,), "model x: it is gone")
    services.workers.arrive("elsewhere:7:ab", "worker", ready)
    assert get(client, f"/jobs/{job['id']}")["problem"] is None
    assert get(client, f"/imports/{batch['id']}")["error_code"] is None
    found = get(client, "/workers")
    assert found["problem"] is None
    assert found["counts"] == {"loading": 0, "ready": 1, "failed": 0, "silent": 0}
    (worker,) = found["items"]
    assert (worker["id"], worker["host"], worker["role"]) == (
        "elsewhere:7:ab", "elsewhere", "worker",
    )  # fmt: skip
    assert worker["problem"] == "model x: it is gone"
    assert 'muquery_workers{state="ready"} 1.0' in client.get(f"{API}/metrics").text

    services.workers.tell("elsewhere:7:ab", Sign(WorkerState.READY, ("another",)))
    assert get(client, f"/jobs/{job['id']}")["problem"]["code"] == "model_not_loaded"
    services.workers.leave("elsewhere:7:ab", "the model could not be loaded: no such folder")
    found = get(client, "/workers")
    assert found["problem"]["code"] == "worker_failed"
    assert found["items"][0]["problem"] == "the model could not be loaded: no such folder"
    assert get(client, "/health/ready")["workers"]["failed"] == 1


def test_an_upload_says_it_at_once(alone: Running, tmp_path: Path) -> None:
    client, _ = alone
    other = write_tones(tmp_path, {"high": 3000.0}, duration_s=2.0)["high"]
    assert upload(client, other).json()["job"]["problem"]["code"] == "no_worker"


def test_the_thread_of_the_service_is_a_worker_too(tmp_path: Path, database_url: str) -> None:
    with running_service(make_settings(tmp_path / "data", database_url)) as (client, services):
        model_id = services.encoder.get().model_id
        (worker,) = eventually(
            lambda: [w for w in get(client, "/workers")["items"] if w["state"] == "ready"]
        )
        assert (worker["role"], worker["model_ids"]) == ("service", [model_id])
        assert worker["id"] == services.worker.owner
        path = write_tones(tmp_path, {"low": 150.0}, duration_s=2.0)["low"]
        assert upload(client, path).json()["job"]["problem"] is None
    with running_service(make_settings(tmp_path / "data", database_url, worker="off")) as running:
        assert get(running[0], "/workers")["items"] == [], "it left in order"
