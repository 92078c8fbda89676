"""Health, metrics, models and the index, as whoever runs the service sees them."""

import asyncio
import threading
from pathlib import Path

import pytest
from starlette.requests import ClientDisconnect, Request

from service.api.connected import while_connected
from tests.service.api.conftest import Running
from tests.support.service import API, eventually, upload, wait_for_index, wait_for_job


def test_ready_means_that_a_real_query_works(
    idle: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    health = idle.client.get(f"{API}/health/ready")
    assert health.status_code == 200
    parts = ("database", "index", "model", "worker")
    assert health.json()["checks"] == dict.fromkeys(parts, "ok")

    def fail() -> None:
        raise RuntimeError("secret://database")

    monkeypatch.setattr(idle.services.database, "ping", fail)
    health = idle.client.get(f"{API}/health/ready")
    assert (health.status_code, health.json()["status"]) == (503, "failing")
    assert health.json()["checks"]["database"] == "failed"
    assert "secret" not in health.text
    assert idle.client.get(f"{API}/health/live").status_code == 200


def test_a_model_that_hangs_is_not_ready(idle: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.api.routers.health.CHECK_S", 0.2)
    idle.encoder.gate.clear()
    try:
        health = idle.client.get(f"{API}/health/ready")
        assert health.status_code == 503
        assert health.json()["checks"]["model"] == "no answer"
    finally:
        idle.encoder.gate.set()


def test_metrics_name_routes_and_never_paths(running: Running, tones: dict[str, Path]) -> None:
    client = running.client
    result = upload(client, tones["low"]).json()
    wait_for_job(client, result["job"]["id"])
    wait_for_index(client)
    client.get(f"{API}/tracks/{result['track']['id']}")
    client.get(f"{API}/search", params={"q": "low"})
    client.get("/no/such/path")
    text = client.get(f"{API}/metrics").text
    for line in (
        f'route="{API}/tracks/{{track_id}}",status="200"',
        'route="unmatched",status="404"',
        'muquery_jobs{state="done"} 1.0',
        'muquery_index_vectors{level="passage"} 2.0',
        "muquery_index_lag_changes 0.0",
        "muquery_oldest_queued_job_age_seconds 0.0",
        "muquery_text_queue_depth 0.0",
        'muquery_model_batch_size_sum{tower="audio"} 2.0',
        'muquery_model_batch_size_count{tower="text"} ',
        "muquery_model_ready 1.0",
    ):
        assert line in text, line
    assert result["track"]["id"] not in text
    assert "/no/such" not in text


def test_the_model_in_use_is_described(idle: Running) -> None:
    (model,) = idle.client.get(f"{API}/models").json()["items"]
    assert (model["model_id"], model["active"], model["embed_dim"]) == ("fake-1", True, 32)


def test_the_index_is_proven_spoilt_and_repaired(running: Running, tones: dict[str, Path]) -> None:
    client = running.client
    result = upload(client, tones["both"]).json()
    wait_for_job(client, result["job"]["id"])
    wait_for_index(client)
    state = client.get(f"{API}/index").json()
    assert (state["tracks"], state["clips"], state["applied_seq"]) == (1, 2, 1)
    whole = client.post(f"{API}/index/verify").json()
    assert (whole["ok"], whole["checked"]) == (True, 3)
    twin = running.services.index._twin
    assert twin is not None
    twin.clips.remove(twin.clips.ids()[:1])
    broken = client.post(f"{API}/index/verify").json()
    assert (broken["ok"], broken["missing"]) == (False, 1)
    assert client.post(f"{API}/index/repair").json()["repaired"] == 1
    assert client.post(f"{API}/index/verify").json()["ok"]
    twin.tracks.remove(twin.tracks.ids())
    assert client.post(f"{API}/index/rebuild").json()["tracks"] == 1
    assert client.post(f"{API}/index/verify").json()["ok"]


def test_embeddings_are_the_models_own(idle: Running, tones: dict[str, Path]) -> None:
    body = idle.client.post(f"{API}/embeddings", json={"texts": ["low", "high", "low"]}).json()
    first, second, third = body["embeddings"]
    assert first == third != second
    assert sum(x * x for x in first) == pytest.approx(1.0, abs=1e-5)
    files = {"file": ("both.flac", tones["both"].read_bytes(), "audio/flac")}
    audio = idle.client.post(f"{API}/embeddings/audio", files=files).json()
    assert audio["starts_s"] == [0.0, 10.0]
    clips = audio["clips"]
    assert audio["mean"] == pytest.approx([(a + b) / 2 for a, b in zip(*clips, strict=True)])
    assert idle.client.get(f"{API}/tracks").json()["total"] == 0


def test_an_overloaded_model_says_so(idle: Running) -> None:
    idle.encoder.gate.clear()
    answers: list[int] = []
    try:
        waiting = [
            threading.Thread(
                target=lambda i=i: answers.append(
                    idle.client.post(
                        f"{API}/embeddings", json={"texts": [f"{i} {j}" for j in range(200)]}
                    ).status_code
                )
            )
            for i in range(2)
        ]
        for thread in waiting:
            thread.start()
        eventually(lambda: 503 in answers)
    finally:
        idle.encoder.gate.set()
    for thread in waiting:
        thread.join()
    assert sorted(answers) == [200, 503]


def test_work_ends_when_its_caller_hangs_up() -> None:
    async def scenario() -> bool:
        gone = asyncio.Event()
        cancelled = False

        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def work() -> None:
            nonlocal cancelled
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                cancelled = True
                raise

        request = Request({"type": "http", "headers": []}, receive)
        answer = asyncio.ensure_future(while_connected(request, work()))
        await asyncio.sleep(0.01)
        gone.set()
        with pytest.raises(ClientDisconnect):
            await answer
        return cancelled

    assert asyncio.run(scenario())
