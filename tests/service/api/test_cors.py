"""Pages of other sites: closed by default, open to the named origins, over a real connection."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from service.keys import Scope
from tests.service.api.conftest import Running
from tests.support.keys import Guarded, guarded_service
from tests.support.process import environment, serving
from tests.support.service import API, make_settings, running_service

SITE, OTHER = "https://music.example.org", "https://evil.example"

# What a browser sends before `fetch(url, {method, headers: {Authorization, Content-Type}})`.
PREFLIGHT = {
    "Access-Control-Request-Method": "PATCH",
    "Access-Control-Request-Headers": "authorization,content-type",
    "Sec-Fetch-Mode": "cors",
    "Sec-Fetch-Site": "cross-site",
}


@pytest.fixture
def guarded(tmp_path: Path, sqlite_url: str) -> Iterator[Guarded]:
    with guarded_service(tmp_path / "data", sqlite_url, cors_origins=SITE) as service:
        yield service


def test_a_named_origin_passes_its_preflight(guarded: Guarded) -> None:
    answer = guarded.call("OPTIONS", "/tracks/x", headers={"Origin": SITE, **PREFLIGHT})
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == SITE
    assert "PATCH" in answer.headers["Access-Control-Allow-Methods"].split(", ")
    allowed = answer.headers["Access-Control-Allow-Headers"].split(", ")
    assert {"authorization", "content-type", "range"} <= set(allowed)
    assert int(answer.headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in answer.headers["Vary"]
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_another_origin_does_not(guarded: Guarded) -> None:
    for origin in (OTHER, "null", SITE + ":8443", SITE.replace("https", "http"), SITE + ".evil"):
        answer = guarded.call("OPTIONS", "/tracks/x", headers={"Origin": origin, **PREFLIGHT})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "cross_origin")
        assert "Access-Control-Allow-Origin" not in answer.headers


def test_answers_and_errors_can_be_read_by_the_named_origin_alone(guarded: Guarded) -> None:
    key = guarded.make_key(Scope.READ)
    for path, sent, status in (
        ("/tracks", key, 200),
        ("/tracks", None, 401),
        ("/keys", key, 403),
        ("/nothing", key, 404),
    ):
        answer = guarded.call("GET", path, sent, headers={"Origin": SITE})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == SITE
        assert "Retry-After" in answer.headers["Access-Control-Expose-Headers"]
        for origin in ({"Origin": OTHER}, {}):
            headers = guarded.call("GET", path, sent, headers=origin).headers
            assert "Access-Control-Allow-Origin" not in headers
            assert "Origin" in headers["Vary"], "or a cache would hand one answer to both"


def test_closed_by_default(idle: Running) -> None:
    headers = {"Origin": SITE, **PREFLIGHT}
    answer = idle.client.options(f"{API}/tracks", headers=headers)
    assert answer.status_code == 405
    assert not [name for name in answer.headers if name.lower().startswith("access-control")]


@pytest.mark.parametrize(("origins", "status"), [(SITE, 404), ("*", 403), ("", 403)])
def test_on_an_open_service_only_a_named_origin_may_write(
    tmp_path: Path, sqlite_url: str, origins: str, status: int
) -> None:
    settings = make_settings(tmp_path / "data", sqlite_url, worker="off", cors_origins=origins)
    with running_service(settings) as (client, _):
        path = f"{API}/tracks/{'0' * 26}"
        assert client.delete(path, headers={"Origin": SITE}).status_code == status
        readable = client.get(f"{API}/tracks", headers={"Origin": OTHER}).headers
        assert ("Access-Control-Allow-Origin" in readable) == (origins == "*")


def test_a_preflight_over_a_real_connection(tmp_path: Path, sqlite_url: str) -> None:
    env = environment(tmp_path / "data", sqlite_url, CORS_ORIGINS=f"{SITE}, http://localhost:3000")
    with serving(env) as server:
        for origin, status in ((SITE, 204), ("http://localhost:3000", 204), (OTHER, 403)):
            headers = {"Origin": origin, **PREFLIGHT}
            answer = httpx.request("OPTIONS", f"{server.api}/tracks", headers=headers)
            assert answer.status_code == status
            allowed = answer.headers.get("Access-Control-Allow-Origin")
            assert allowed == (origin if status == 204 else None)
        # A key is asked for nothing here, so that only the origin decides about writing.
        track = f"{server.api}/tracks/{'0' * 26}"
        assert httpx.delete(track, headers={"Origin": SITE}).status_code == 404
        assert httpx.delete(track, headers={"Origin": OTHER}).status_code == 403
        # uvicorn would believe this header from loopback; the service must not.
        assert httpx.delete(track, headers={"X-Forwarded-For": "6.6.6.6"}).status_code == 404
        entries = httpx.get(f"{server.api}/audit").json()["items"]
        assert {entry["address"] for entry in entries} == {"127.0.0.1"}
