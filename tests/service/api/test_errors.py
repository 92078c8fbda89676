"""One shape for every failure, over every endpoint that the document lists."""

import json
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.exc import OperationalError

from service.api.schemas import ErrorResponse
from service.errors import MuqueryError
from service.jobs.workers import MODEL_NOT_LOADED, NO_WORKER, WORKER_FAILED
from tests.service.api.conftest import Running
from tests.support.service import API, make_settings, upload

MISSING = "0" * 26


def check_shape(response: Any) -> ErrorResponse:
    parsed = ErrorResponse.model_validate(response.json())
    assert response.headers["content-type"] == "application/json"
    assert parsed.error.request_id == response.headers["x-request-id"]
    assert parsed.error.message
    assert parsed.error.code == parsed.error.code.lower()
    assert "Traceback" not in response.text
    assert "/work" not in response.text
    assert "SELECT" not in response.text
    return parsed


def operations(client: TestClient) -> list[tuple[str, str, dict[str, Any]]]:
    document = client.get(f"{API}/openapi.json").json()
    return [
        (method.upper(), path, operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_operation_documents_its_errors(idle: Running) -> None:
    found = operations(idle.client)
    assert len(found) > 20
    for method, path, operation in found:
        for status in ("401", "403", "422", "500", "503"):
            schema = operation["responses"][status]["content"]["application/json"]["schema"]
            wanted = "Health" if (path.endswith("/ready") and status == "503") else "ErrorResponse"
            assert schema["$ref"].endswith(wanted), (method, path, status)


def test_every_path_with_an_id_answers_404_for_an_unknown_one(idle: Running) -> None:
    bodies = {"PATCH": {"title": "x"}}
    tried = 0
    for method, path, _ in operations(idle.client):
        if "{" not in path or method == "PUT":  # a PUT makes what is not there
            continue
        for unknown in (MISSING, "nonsense", "%00", "..%2F..%2Fetc%2Fpasswd", "é"):
            address = path.replace("{track_id}", unknown).replace("{job_id}", unknown)
            address = address.replace("{import_id}", unknown)
            response = idle.client.request(method, address, json=bodies.get(method))
            assert response.status_code == 404, (method, address, response.text)
            check_shape(response)
            tried += 1
    assert tried > 40


def test_every_operation_with_a_body_refuses_nonsense(idle: Running) -> None:
    tried = 0
    for method, path, operation in operations(idle.client):
        if "requestBody" not in operation:
            continue
        address = path.replace("{track_id}", MISSING)
        for content, content_type in (
            (b"", "application/json"),
            (b"{", "application/json"),
            (b"[]", "application/json"),
            (b'{"\\ud800": 1}', "application/json"),
            (b'{"query": [{"text": "\\ud800"}], "texts": ["\\ud800"]}', "application/json"),
            (b"\xff\xfe", "application/json"),
            (b"nonsense", "multipart/form-data; boundary=x"),
            (b"--x\r\n\r\n", "multipart/form-data; boundary=x"),
            (b"nonsense", "text/plain"),
        ):
            response = idle.client.request(
                method, address, content=content, headers={"Content-Type": content_type}
            )
            assert response.status_code in (400, 404, 422), (method, path, content, response.text)
            check_shape(response)
            tried += 1
    assert tried > 60


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", f"{API}/nothing", 404, "not_found"),
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/static/../../settings.py", 404, "not_found"),
        ("GET", f"{API}/tracks/", 404, "not_found"),
        ("PUT", f"{API}/tracks", 405, "method_not_allowed"),
        ("DELETE", f"{API}/search", 405, "method_not_allowed"),
        ("POST", "/", 405, "method_not_allowed"),
        ("GET", f"{API}/tracks?limit=0", 422, "invalid_request"),
        ("GET", f"{API}/tracks?limit=x", 422, "invalid_request"),
        ("GET", f"{API}/tracks?q=%00", 422, "invalid_request"),
        ("GET", f"{API}/tracks?sort=password", 422, "invalid_request"),
        ("GET", f"{API}/jobs?cursor=%00", 422, "invalid_cursor"),
        ("GET", f"{API}/search", 422, "invalid_request"),
        ("GET", f"{API}/search?q=x&cursor=x", 422, "invalid_cursor"),
        ("GET", f"{API}/search?q=%20", 422, "empty_query"),
        ("GET", f"{API}/search?q=x&colour=red", 422, "invalid_request"),
    ],
)
def test_what_an_address_answers(
    idle: Running, method: str, path: str, status: int, code: str
) -> None:
    response = idle.client.request(method, path)
    assert response.status_code == status, response.text
    assert check_shape(response).error.code == code


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ([], "invalid_request"),
        ([{"text": "   "}], "empty_query"),
        ([{"text": "x" * 1001}], "invalid_request"),
        ([{"text": "word " * 65}], "text_too_long"),
        ([{"text": "x", "track_id": MISSING}], "invalid_request"),
        ([{"text": "x", "weight": 0}], "invalid_request"),
        ([{"text": "x", "weight": 1.5}], "invalid_request"),
        ([{"text": "x", "start_s": 1}], "invalid_request"),
        ([{"track_id": MISSING, "start_s": 2, "end_s": 1}], "invalid_request"),
        ([{"text": "x"}, {"text": "x", "weight": -1}], "parts_cancel_out"),
        ([{"text": "x"}] * 17, "invalid_request"),
    ],
)
def test_a_query_that_cannot_be_answered(idle: Running, query: list[Any], code: str) -> None:
    response = idle.client.post(f"{API}/search", json={"query": query})
    assert response.status_code == 422
    assert check_shape(response).error.code == code


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/search", b'{"query": [{"text": "x", "weight": NaN}]}'),
        ("POST", "/search", b'{"query": [{"text": "x"}], "min_relevance": NaN}'),
        ("POST", "/search", b'{"query": [{"text": "x"}], "limit": 1e400}'),
        ("POST", "/search", b'{"query": ' + b"[" * 100_000 + b"]" * 100_000 + b"}"),
        ("POST", "/embeddings", b'{"texts": [" "]}'),
        ("PATCH", f"/tracks/{MISSING}", b'{"extra": {"x": "' + b"y" * 40_000 + b'"}}'),
        ("PATCH", f"/tracks/{MISSING}", b'{"year": 1e400}'),
        ("POST", "/tags", b'{"track_id": "' + MISSING.encode() + b'", "labels": ["\\ud800"]}'),
    ],
)
def test_bodies_made_to_trip_a_parser(idle: Running, method: str, path: str, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    response = idle.client.request(method, API + path, content=body, headers=headers)
    assert response.status_code in (400, 422), response.text
    check_shape(response)


def test_a_query_of_an_unknown_track_is_a_404(idle: Running) -> None:
    for unknown in (MISSING, "\x00", "x" * 500):
        response = idle.client.post(f"{API}/search", json={"query": [{"track_id": unknown}]})
        assert response.status_code == 404
        assert check_shape(response).error.code == "track_not_found"


def test_a_crash_says_nothing_of_itself(
    idle: Running, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(*_: object, **__: object) -> None:
        raise RuntimeError("SELECT secret FROM /srv/music")

    monkeypatch.setattr(idle.services.tracks, "list_tracks", crash)
    response = idle.client.get(f"{API}/tracks")
    assert response.status_code == 500
    assert check_shape(response).error.code == "internal_error"
    assert "secret" not in response.text
    assert response.headers["x-request-id"] in caplog.text
    assert "SELECT secret" in caplog.text


def test_a_database_that_does_not_answer_is_a_503(
    idle: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OperationalError("SELECT secret", {}, Exception("could not connect to secret:5432"))

    monkeypatch.setattr(idle.services.tracks, "list_tracks", fail)
    response = idle.client.get(f"{API}/tracks")
    assert response.status_code == 503
    assert check_shape(response).error.code == "unavailable"
    assert "secret" not in response.text


def test_a_model_that_fails_is_a_500_and_its_thread_lives_on(idle: Running) -> None:
    response = idle.client.get(f"{API}/search", params={"q": "poison"})
    assert response.status_code == 500
    check_shape(response)
    assert idle.client.get(f"{API}/search", params={"q": "low"}).status_code == 200


def test_while_the_model_loads_the_rest_answers(
    tmp_path: Path, sqlite_url: str, tones: dict[str, Path]
) -> None:
    from service.api.app import create_app
    from service.runtime import build_services

    def fail() -> Any:
        raise RuntimeError("there is no model at /secret/path")

    settings = make_settings(tmp_path / "data", sqlite_url)
    services = build_services(settings, fail)
    with TestClient(create_app(settings, services), base_url="http://127.0.0.1") as client:
        for response in (
            client.get(f"{API}/search", params={"q": "low"}),
            client.get(f"{API}/models"),
            client.get(f"{API}/index"),
            upload(client, tones["low"]),
        ):
            assert response.status_code == 503
            assert int(response.headers["retry-after"]) > 0
            assert "secret" not in response.text
            check_shape(response)
        assert client.get(f"{API}/tracks").status_code == 200
        names = [item["name"] for item in client.get(f"{API}/fields").json()["items"]]
        assert "genre" in names
        assert not any(name.startswith("tags.") for name in names), "no model ever gave any"
        assert client.get(f"{API}/health/live").json()["status"] == "ok"
        ready = client.get(f"{API}/health/ready")
        assert ready.status_code == 503
        assert ready.json()["checks"]["model"] == "could not be loaded"


def test_a_caller_may_name_its_request(idle: Running) -> None:
    named = idle.client.get(f"{API}/nothing", headers={"X-Request-Id": "caller-123"})
    assert check_shape(named).error.request_id == "caller-123"
    forged = idle.client.get(f"{API}/nothing", headers={"X-Request-Id": "a b\tc" * 9})
    assert check_shape(forged).error.request_id != "a b\tc" * 9


def test_every_code_is_in_the_documentation() -> None:
    import service.api.errors
    import service.api.routers.tracks
    import service.audio.errors
    import service.inference.input_errors
    import service.keys
    import service.search.mixing
    import service.search.vectors  # noqa: F401 - imported so that their errors exist

    listed = Path("docs/errors.md").read_text(encoding="utf-8")
    codes = {cls.code for cls in subclasses(MuqueryError)} | {"internal_error"}
    codes |= {problem.code for problem in (NO_WORKER, WORKER_FAILED, MODEL_NOT_LOADED)}
    missing = sorted(code for code in codes if f"`{code}`" not in listed)
    assert missing == []


def subclasses(cls: type[MuqueryError]) -> set[type[MuqueryError]]:
    direct = set(cls.__subclasses__())
    return direct.union(*(subclasses(each) for each in direct))


def test_a_bad_json_part_names_its_field(idle: Running, tones: dict[str, Path]) -> None:
    for metadata, field in (
        ('{"titel": "x"}', "metadata.titel"),
        ('{"year": "next"}', "metadata.year"),
        ("{", "metadata"),
        (json.dumps({"title": "x" * 501}), "metadata.title"),
    ):
        response = upload(idle.client, tones["low"], metadata=metadata)
        assert response.status_code == 422
        assert check_shape(response).error.details["fields"][0]["field"] == field
    assert idle.client.get(f"{API}/tracks").json()["total"] == 0


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("application/x-www-form-urlencoded", b'{"query": []}', "Content-Type: application/json"),
        ("", b'{"query": []}', "no type"),
        ("application/json", b'{"query": [', "is not JSON"),
        ("application/json", b"[]", "dictionary"),
    ],
)
def test_a_body_that_is_no_json_object_says_so(
    idle: Running, content_type: str, body: bytes, said: str
) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    response = idle.client.post(f"{API}/search", content=body, headers=headers)
    assert response.status_code == 422
    error = check_shape(response).error
    assert said in error.message
    assert error.details["fields"][0]["field"] == "body"
