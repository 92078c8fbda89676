"""The headers that protect a browser are on every answer, whatever kind of answer it is."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service.api.request_context import SECURITY_HEADERS
from service.keys import Scope
from tests.support.keys import Guarded, guarded_service
from tests.support.service import API


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("headers")
    url = f"sqlite:///{folder / 'muquery.sqlite3'}"
    (folder / "muquery.sqlite3").write_bytes(sqlite_template.read_bytes())
    with guarded_service(folder / "data", url, rate_upload_per_min=1) as service:
        yield service


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("HEAD", "/", {}, 200),
        ("GET", "/static/icon.svg", {}, 200),
        ("GET", "/static/nothing.js", {}, 404),
        ("GET", "/elsewhere", {}, 404),
        ("GET", f"{API}/health/live", {}, 200),
        ("GET", f"{API}/openapi.json", {}, 200),
        ("GET", f"{API}/tracks", {}, 401),
        ("GET", f"{API}/tracks", {"key": "read"}, 200),
        ("DELETE", f"{API}/tracks/{'0' * 26}", {"key": "read"}, 403),
        ("GET", f"{API}/tracks?limit=0", {"key": "read"}, 422),
        ("OPTIONS", f"{API}/tracks", {}, 405),
        ("POST", f"{API}/search", {"key": "read", "Content-Length": "99999999"}, 413),
        ("POST", f"{API}/tracks", {"key": "write"}, 422),
        ("POST", f"{API}/tracks", {"key": "write"}, 429),
    ],
)
def test_they_are_on_every_answer(
    guarded: Guarded, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    scope = headers.pop("key", None) if (headers := dict(headers)) else None
    if scope:
        headers["Authorization"] = f"Bearer {_key(guarded, scope)}"
    answer = guarded.client.request(method, path, headers=headers)
    assert answer.status_code == status
    for name, value in SECURITY_HEADERS.items():
        assert answer.headers[name] == value
    assert len(answer.headers["X-Request-Id"]) >= 8
    assert "Cache-Control" in answer.headers
    assert "server" not in answer.headers


def test_they_are_on_a_page_that_has_not_changed(guarded: Guarded) -> None:
    etag = guarded.client.get("/").headers["ETag"]
    answer = guarded.client.get("/", headers={"If-None-Match": etag})
    assert answer.status_code == 304
    for name in SECURITY_HEADERS:
        assert name in answer.headers


def test_they_are_on_a_crash(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(guarded.services.keys, "list_keys", broken)
    client = TestClient(
        guarded.client.app, base_url="http://127.0.0.1", raise_server_exceptions=False
    )
    key = guarded.make_key(Scope.ADMIN)
    answer = client.get(f"{API}/keys", headers={"Authorization": f"Bearer {key}"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    for name in SECURITY_HEADERS:
        assert name in answer.headers


_made: dict[str, str] = {}


def _key(guarded: Guarded, scope: str) -> str:
    if scope not in _made:
        _made[scope] = guarded.make_key(Scope(scope))
    return _made[scope]
