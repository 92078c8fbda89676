"""From an upload to a hit and to a delete, over HTTP, on both databases."""

import hashlib
import json
from pathlib import Path

import pytest

from tests.service.api.conftest import Running
from tests.support.service import API, eventually, upload, wait_for_index, wait_for_job


def test_upload_to_hit_to_delete(running_anywhere: Running, tones: dict[str, Path]) -> None:
    client = running_anywhere.client
    ids = {}
    for name in ("low", "high", "both"):
        metadata = json.dumps({"title": name.capitalize(), "extra": {"mood": ["x"]}})
        response = upload(client, tones[name], metadata=metadata)
        assert response.status_code == 202
        result = response.json()
        assert result["duplicate"] is False
        assert result["track"]["title"] == name.capitalize()
        assert result["track"]["extra"] == {"mood": ["x"]}
        ids[name] = result["track"]["id"]
        assert wait_for_job(client, result["job"]["id"])["state"] == "done"
    wait_for_index(client)

    found = client.post(f"{API}/search", json={"query": [{"text": "low"}], "passages": 1}).json()
    assert [hit["track"]["id"] for hit in found["items"]] == [ids["low"], ids["both"], ids["high"]]
    assert found["items"][1]["passages"][0]["start_s"] == 0.0
    found = client.get(f"{API}/search", params={"q": "high", "level": "passage"}).json()
    best = found["items"][0]
    assert best["track"]["id"] in (ids["high"], ids["both"])
    assert found["items"][0]["relevance"] > 0.9

    assert client.delete(f"{API}/tracks/{ids['low']}").status_code == 204
    for level in ("track", "passage"):
        found = client.get(f"{API}/search", params={"q": "low", "level": level}).json()
        assert ids["low"] not in [hit["track"]["id"] for hit in found["items"]]
    for path in ("", "/audio", "/waveform", "/passages"):
        assert client.get(f"{API}/tracks/{ids['low']}{path}").status_code == 404
    assert client.delete(f"{API}/tracks/{ids['low']}").status_code == 404
    verified = client.post(f"{API}/index/verify").json()
    assert verified["ok"], verified


def test_the_same_bytes_are_stored_once(running: Running, tones: dict[str, Path]) -> None:
    first = upload(running.client, tones["low"])
    again = upload(running.client, tones["low"], metadata='{"title": "Other"}')
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["duplicate"] is True
    assert again.json()["job"] is None
    assert again.json()["track"]["id"] == first.json()["track"]["id"]
    assert running.client.get(f"{API}/tracks").json()["total"] == 1


def test_a_track_is_found_by_the_hash_of_its_bytes(idle: Running, tones: dict[str, Path]) -> None:
    track = upload(idle.client, tones["low"]).json()["track"]
    digest = hashlib.sha256(tones["low"].read_bytes()).hexdigest()
    assert track["sha256"] == digest
    page = idle.client.get(f"{API}/tracks", params={"sha256": digest}).json()
    assert [item["id"] for item in page["items"]] == [track["id"]]
    page = idle.client.get(f"{API}/tracks", params={"sha256": "0" * 64}).json()
    assert page == {"items": [], "total": 0, "next_cursor": None}


def test_the_list_pages_filters_and_sorts(idle: Running, tones: dict[str, Path]) -> None:
    for name in ("low", "middle", "high"):
        upload(idle.client, tones[name], metadata=json.dumps({"title": name, "artist": "Ümit"}))
    titles: list[str] = []
    params: dict[str, str] | None = {"sort": "title", "limit": "2"}
    while params:
        page = idle.client.get(f"{API}/tracks", params=params).json()
        titles += [item["title"] for item in page["items"]]
        cursor = page["next_cursor"]
        params = params | {"cursor": cursor} if cursor else None
    assert titles == ["high", "low", "middle"]
    page = idle.client.get(f"{API}/tracks", params={"q": "IDD"}).json()
    assert [item["title"] for item in page["items"]] == ["middle"]
    assert idle.client.get(f"{API}/tracks", params={"state": "ready"}).json()["total"] == 0
    answer = idle.client.get(f"{API}/tracks", params={"cursor": "nonsense"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_cursor")


def test_metadata_can_be_changed_and_cleared(idle: Running, tones: dict[str, Path]) -> None:
    track = upload(idle.client, tones["low"], metadata='{"title": "A", "artist": "B"}').json()
    path = f"{API}/tracks/{track['track']['id']}"
    changed = idle.client.patch(path, json={"title": "C", "artist": None}).json()
    assert (changed["title"], changed["artist"]) == ("C", None)
    assert idle.client.get(path).json() == changed
    refused = idle.client.patch(path, json={"state": "ready"})
    assert refused.status_code == 422
    assert refused.json()["error"]["details"]["fields"][0]["field"] == "body.state"


def test_waveform_and_passages_come_with_the_analysis(
    running: Running, tones: dict[str, Path]
) -> None:
    result = upload(running.client, tones["both"]).json()
    wait_for_job(running.client, result["job"]["id"])
    path = f"{API}/tracks/{result['track']['id']}"
    waveform = running.client.get(f"{path}/waveform").json()
    assert waveform["duration_s"] == pytest.approx(20.0)
    assert max(waveform["peaks"]) > 100
    plain = running.client.get(f"{path}/passages").json()["items"]
    assert [(p["start_s"], p["score"]) for p in plain] == [(0.0, None), (10.0, None)]
    scored = running.client.get(f"{path}/passages", params={"q": "high"}).json()["items"]
    assert scored[1]["score"] > scored[0]["score"] + 0.1


def test_before_the_analysis_a_track_is_there_but_not_searched(
    idle: Running, tones: dict[str, Path]
) -> None:
    result = upload(idle.client, tones["low"]).json()
    track_id = result["track"]["id"]
    assert result["track"]["state"] == "pending"
    assert idle.client.get(f"{API}/tracks/{track_id}/waveform").json()["peaks"] == []
    assert idle.client.get(f"{API}/search", params={"q": "low"}).json()["items"] == []
    for answer in (
        idle.client.post(f"{API}/search", json={"query": [{"track_id": track_id}]}),
        idle.client.get(f"{API}/tracks/{track_id}/passages"),
        idle.client.post(f"{API}/tags", json={"track_id": track_id, "labels": ["low"]}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "track_not_ready")


def test_jobs_are_listed_cancelled_and_tried_again(idle: Running, tones: dict[str, Path]) -> None:
    job = upload(idle.client, tones["low"], metadata='{"title": "Low"}').json()["job"]
    page = idle.client.get(f"{API}/jobs", params={"state": "queued"}).json()
    assert page["items"] == [job]
    assert page["counts"]["queued"] == 1
    assert job["track_title"] == "Low"
    path = f"{API}/jobs/{job['id']}"
    assert idle.client.post(f"{path}/retry").json()["error"]["code"] == "job_not_retryable"
    assert idle.client.post(f"{path}/cancel").json()["state"] == "cancelled"
    assert idle.client.post(f"{path}/cancel").json()["error"]["code"] == "job_not_cancellable"
    assert idle.client.post(f"{path}/retry").json()["state"] == "queued"
    assert idle.client.get(f"{API}/jobs/{'0' * 26}").json()["error"]["code"] == "job_not_found"


def test_deleting_a_track_takes_its_job_along(idle: Running, tones: dict[str, Path]) -> None:
    result = upload(idle.client, tones["low"]).json()
    idle.client.delete(f"{API}/tracks/{result['track']['id']}")
    assert idle.client.get(f"{API}/jobs/{result['job']['id']}").status_code == 404
    again = upload(idle.client, tones["low"])
    assert again.status_code == 202
    assert again.json()["track"]["id"] != result["track"]["id"]


def test_the_event_loop_answers_while_the_model_is_busy(
    running: Running, tones: dict[str, Path]
) -> None:
    running.encoder.gate.clear()  # every call of the model now waits
    try:
        result = upload(running.client, tones["low"]).json()
        job_path = f"{API}/jobs/{result['job']['id']}"
        eventually(lambda: running.client.get(job_path).json()["state"] == "running")
        assert running.client.get(f"{API}/health/live").status_code == 200
        assert running.client.get(f"{API}/tracks").json()["total"] == 1
    finally:
        running.encoder.gate.set()
    assert wait_for_job(running.client, result["job"]["id"])["state"] == "done"
