"""Imports over HTTP: folders of the server, uploads in a batch, and everything told of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api.import_schemas import Import, ImportItemPage, ImportPage
from tests.service.api.conftest import Running
from tests.service.api.test_errors import check_shape
from tests.support.encoder import FakeEncoder
from tests.support.service import API, eventually, make_settings, running_service

BROKEN = b"this is no music" * 100


@pytest.fixture
def music(tmp_path: Path, tones: dict[str, Path]) -> Path:
    """A folder that may be taken in, with two tones, one of them twice, and a broken file."""
    folder = tmp_path / "music"
    (folder / "album").mkdir(parents=True)
    for name, tone in (("low", "low"), ("album/high", "high"), ("album/again", "low")):
        (folder / f"{name}.flac").write_bytes(tones[tone].read_bytes())
    (folder / "broken.mp3").write_bytes(BROKEN)
    return folder


@pytest.fixture
def importing(tmp_path: Path, database_url: str, music: Path) -> Iterator[Running]:
    """A service that may take that folder in, on both databases."""
    encoder = FakeEncoder()
    settings = make_settings(tmp_path / "data", database_url, import_roots=str(music))
    with running_service(settings, encoder) as (client, services):
        yield Running(client, services, encoder)


def start(client: TestClient, **wanted: Any) -> dict[str, Any]:
    response = client.post(f"{API}/imports", json=wanted)
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


def send(client: TestClient, import_id: str, name: str, content: bytes, **params: str) -> Any:
    return client.post(
        f"{API}/tracks", params={"import_id": import_id, **params}, files={"file": (name, content)}
    )


def ended(client: TestClient, import_id: str) -> Import:
    def look() -> Import | None:
        found = Import.model_validate(client.get(f"{API}/imports/{import_id}").json())
        return found if found.state in ("done", "cancelled") else None

    found: Import = eventually(look, 90)
    return found


def test_a_folder_of_the_server(importing: Running, music: Path) -> None:
    client = importing.client
    created = start(client, source="folder", folder=str(music), name="All")
    assert created["webhook_secret"] is None
    found = ended(client, created["id"])
    assert {state: n for state, n in found.counts.items() if n} == {
        "done": 2,
        "duplicate": 1,
        "failed": 1,
    }
    assert (found.total_files, found.listed, found.eta_s) == (4, True, 0.0)
    assert found.audio_s == pytest.approx(24.0, abs=0.1)
    failed = client.get(f"{API}/imports/{created['id']}/items", params={"state": "failed"})
    (item,) = ImportItemPage.model_validate(failed.json()).items
    assert (item.path, item.error_code) == ("broken.mp3", "not_audio")
    page = ImportPage.model_validate(client.get(f"{API}/imports", params={"state": "done"}).json())
    assert [each.id for each in page.items] == [created["id"]]
    again = client.post(f"{API}/imports/{created['id']}/retry").json()
    assert again == {"retried": 1, "needs_upload": 0}
    assert ended(client, created["id"]).counts["failed"] == 1
    assert client.delete(f"{API}/imports/{created['id']}").status_code == 204
    assert client.get(f"{API}/imports/{created['id']}").status_code == 404
    assert client.get(f"{API}/tracks").json()["total"] == 2


def test_folders_are_off_by_default(idle: Running, tmp_path: Path) -> None:
    wanted = {"source": "folder", "folder": str(tmp_path)}
    response = idle.client.post(f"{API}/imports", json=wanted)
    assert response.status_code == 403
    assert check_shape(response).error.code == "folder_imports_off"


def test_other_folders_are_refused(importing: Running, music: Path) -> None:
    for folder, status, code in (
        ("/etc", 403, "folder_not_allowed"),
        (f"{music}/../", 403, "folder_not_allowed"),
        (f"{music}/nowhere", 404, "folder_not_found"),
        ("\x00", 403, "folder_not_allowed"),
    ):
        wanted = {"source": "folder", "folder": folder}
        response = importing.client.post(f"{API}/imports", json=wanted)
        assert (response.status_code, check_shape(response).error.code) == (status, code)
        assert str(music) not in response.text


def test_uploads_as_a_batch(running_anywhere: Running, tones: dict[str, Path]) -> None:
    client = running_anywhere.client
    import_id = start(client, source="upload", reference="r1")["id"]
    repeated = client.post(f"{API}/imports", json={"source": "upload", "reference": "r1"})
    assert (repeated.status_code, repeated.json()["id"]) == (200, import_id)
    low = tones["low"].read_bytes()
    assert send(client, import_id, "low.flac", low, path="a/low.flac").status_code == 202
    assert send(client, import_id, "same.flac", low).status_code == 200
    assert send(client, import_id, "bad.mp3", BROKEN).status_code == 415
    assert (
        send(client, import_id, "é\ud800.mp3".encode("utf-8", "replace").decode(), b"").status_code
        == 415
    )
    closed = client.post(f"{API}/imports/{import_id}/close")
    assert closed.json()["listed"] is True
    found = ended(client, import_id)
    assert (found.counts["done"], found.counts["duplicate"], found.counts["failed"]) == (1, 1, 2)
    items = client.get(f"{API}/imports/{import_id}/items").json()["items"]
    assert {item["path"] for item in items} >= {"a/low.flac", "same.flac", "bad.mp3"}
    late = send(client, import_id, "late.flac", tones["high"].read_bytes())
    assert (late.status_code, check_shape(late).error.code) == (409, "import_closed")
    for unknown in ("0" * 26, "nonsense"):
        response = send(client, unknown, "a.flac", low)
        assert check_shape(response).error.code == "import_not_found"


def test_a_file_that_is_too_large_is_noted(settings: Any, tones: dict[str, Path]) -> None:
    small = settings.model_copy(update={"max_upload_bytes": 1000})
    with running_service(small) as (client, _):
        import_id = start(client, source="upload")["id"]
        response = send(client, import_id, "low.flac", tones["low"].read_bytes())
        assert response.status_code == 413
        (item,) = client.get(f"{API}/imports/{import_id}/items").json()["items"]
        assert (item["state"], item["error_code"]) == ("failed", "too_large")


def test_pause_resume_cancel(idle: Running, tones: dict[str, Path]) -> None:
    client = idle.client
    import_id = start(client, source="upload")["id"]
    send(client, import_id, "low.flac", tones["low"].read_bytes())
    address = f"{API}/imports/{import_id}"
    assert client.post(f"{address}/pause").json()["state"] == "paused"
    assert client.delete(address).status_code == 409
    assert client.post(f"{address}/resume").json()["state"] == "running"
    cancelled = client.post(f"{address}/cancel").json()
    assert (cancelled["state"], cancelled["counts"]["cancelled"]) == ("cancelled", 1)
    for action in ("pause", "resume", "cancel", "retry"):
        response = client.post(f"{address}/{action}")
        assert (response.status_code, check_shape(response).error.code) == (409, "import_ended")


def test_a_webhook_s_secret_is_shown_once(idle: Running) -> None:
    hook = {"url": "https://93.184.216.34/hook"}
    created = start(idle.client, source="upload", webhook=hook)
    assert created["webhook_secret"].startswith("whsec_")
    shown = idle.client.get(f"{API}/imports/{created['id']}")
    assert created["webhook_secret"] not in shown.text
    assert shown.json()["webhook"] == {"url": hook["url"], "deliveries": []}
    idle.client.post(f"{API}/imports/{created['id']}/cancel")
    (delivery,) = idle.client.get(f"{API}/imports/{created['id']}").json()["webhook"]["deliveries"]
    assert (delivery["state"], delivery["attempts"], delivery["log"]) == ("pending", 0, [])
    for url in ("http://example.org/", "https://127.0.0.1/", "https://localhost.:x/"):
        wanted = {"source": "upload", "webhook": {"url": url}}
        response = idle.client.post(f"{API}/imports", json=wanted)
        assert check_shape(response).error.code == "webhook_not_allowed"


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"source": "elsewhere"},
        {"source": "folder"},
        {"source": "upload", "folder": "/music"},
        {"source": "upload", "webhook": {"url": "https://example.org", "secret": "short"}},
        {"source": "upload", "unknown": 1},
    ],
)
def test_what_is_no_import_is_refused(idle: Running, wanted: dict[str, Any]) -> None:
    response = idle.client.post(f"{API}/imports", json=wanted)
    assert check_shape(response).error.code == "invalid_request"


def test_embeddings_out_and_in(running_anywhere: Running, tones: dict[str, Path]) -> None:
    client = running_anywhere.client
    import_id = start(client, source="upload")["id"]
    for name in ("low", "high"):
        send(client, import_id, f"{name}.flac", tones[name].read_bytes())
    client.post(f"{API}/imports/{import_id}/close")
    ended(client, import_id)
    for file_format in ("npz", "parquet"):
        file = client.get(f"{API}/export", params={"format": file_format})
        assert file.status_code == 200
        assert f'.{file_format}"' in file.headers["content-disposition"]
        result = client.post(f"{API}/embeddings/import", files={"file": ("x", file.content)})
        assert result.status_code == 200, result.text
        assert (result.json()["read"], result.json()["known"]) == (2, 2)
    part = {"filter": json.dumps({"field": "title", "eq": "low"}), "format": "npz"}
    assert client.patch(
        f"{API}/tracks/{client.get(f'{API}/tracks').json()['items'][0]['id']}",
        json={"title": "Low"},
    ).is_success
    file_of_one = client.get(f"{API}/export", params=part)
    result = client.post(f"{API}/embeddings/import", files={"file": ("x", file_of_one.content)})
    assert result.json()["read"] == 1
    response = client.get(f"{API}/export", params={"filter": '{"field": "nothing", "eq": 1}'})
    assert check_shape(response).error.code == "invalid_filter"
    for track in client.get(f"{API}/tracks").json()["items"]:
        client.delete(f"{API}/tracks/{track['id']}")
    imported = client.post(f"{API}/embeddings/import", files={"file": ("x", file.content)}).json()
    assert imported["waiting"] == 2
    assert client.get(f"{API}/embeddings/waiting").json()["tracks"] == 2
    seen = list(running_anywhere.encoder.clip_calls)
    track_id = client.post(
        f"{API}/tracks", files={"file": ("low.flac", tones["low"].read_bytes())}
    ).json()["track"]["id"]
    eventually(lambda: client.get(f"{API}/tracks/{track_id}").json()["state"] == "ready", 90)
    assert running_anywhere.encoder.clip_calls == seen
    assert client.delete(f"{API}/embeddings/waiting").status_code == 204
    assert client.get(f"{API}/embeddings/waiting").json() == {"tracks": 0, "size_bytes": 0}
    response = client.post(f"{API}/embeddings/import", files={"file": ("x", b"nonsense")})
    assert check_shape(response).error.code == "invalid_embeddings"


def test_a_finished_track_is_found_at_once(settings: Any, tones: dict[str, Path]) -> None:
    lazy = settings.model_copy(update={"index_poll_s": 3600.0})
    with running_service(lazy) as (client, _):
        files = {"file": ("low.flac", tones["low"].read_bytes())}
        track_id = client.post(f"{API}/tracks", files=files).json()["track"]["id"]

        def found() -> bool:
            hits = client.get(f"{API}/search", params={"q": "low"}).json()["items"]
            return [hit["track"]["id"] for hit in hits] == [track_id]

        eventually(found, 90)


def test_a_worker_without_a_model_shows_in_readiness(settings: Any) -> None:
    from service.api.app import create_app
    from service.runtime import build_services

    def load() -> Any:
        raise RuntimeError("no such bundle")

    services = build_services(settings, load)
    with TestClient(create_app(settings, services), base_url="http://127.0.0.1") as client:

        def checks() -> dict[str, str] | None:
            response = client.get(f"{API}/health/ready")
            assert response.status_code == 503
            body = response.json()
            return body["checks"] if body["status"] == "failing" else None

        eventually(lambda: (checks() or {}).get("worker") not in (None, "ok"))
        assert (checks() or {})["worker"] == "ended: the model could not be loaded"
