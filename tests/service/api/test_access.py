"""Who may do what: keys, scopes, host names, origins."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from service import keys
from service.access.policy import AccessPolicy, UnsafeBind, is_loopback
from service.database.engine import Database
from service.keys import Scope
from service.runtime import Services
from service.settings import Settings
from tests.service.api.conftest import Running
from tests.support.service import API, make_settings, running_service

READS = [("GET", "/tracks"), ("GET", "/search?q=low"), ("GET", "/jobs"), ("GET", "/metrics")]
WRITES = [("POST", "/tracks"), ("DELETE", f"/tracks/{'0' * 26}"), ("PATCH", f"/tracks/{'0' * 26}")]
ADMINS = [("POST", "/index/verify"), ("POST", "/index/rebuild")]


@pytest.fixture
def guarded(tmp_path: Path, sqlite_url: str) -> Iterator[tuple[TestClient, Services]]:
    """A service that asks for keys."""
    settings = make_settings(tmp_path / "data", sqlite_url, worker="off", require_key=True)
    with running_service(settings) as both:
        yield both


def make_key(services: Services, *scopes: Scope, expires_at: datetime | None = None) -> str:
    with services.database.write() as session:
        return keys.create_key(session, "test", scopes, expires_at).secret


def status(client: TestClient, method: str, path: str, key: str | None) -> int:
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    return client.request(method, API + path, headers=headers).status_code


def test_each_scope_opens_what_it_should(guarded: tuple[TestClient, Services]) -> None:
    client, services = guarded
    read, write, admin = (make_key(services, scope) for scope in Scope)
    for allowed, refused, calls in (
        ([read, write, admin], [], READS),
        ([write, admin], [read], WRITES),
        ([admin], [read, write], ADMINS),
    ):
        for method, path in calls:
            for key in allowed:
                assert status(client, method, path, key) not in (401, 403), (method, path)
            for key in refused:
                assert status(client, method, path, key) == 403, (method, path)
            for nobody in (None, "mq_wrong", read[:-1], read.upper()):
                assert status(client, method, path, nobody) == 401, (method, path)
    assert status(client, "GET", "/health/live", None) == 200
    assert status(client, "GET", "/health/ready", None) == 200


def test_every_other_operation_is_guarded(guarded: tuple[TestClient, Services]) -> None:
    client, _ = guarded
    open_paths = {f"{API}/health/live", f"{API}/health/ready"}
    document = client.get(f"{API}/openapi.json").json()
    for path, methods in document["paths"].items():
        for method in methods:
            address = path.replace("{track_id}", "0" * 26).replace("{job_id}", "0" * 26)
            response = client.request(method, address)
            assert (response.status_code == 401) == (path not in open_paths), (method, path)
            if response.status_code == 401:
                assert response.headers["www-authenticate"].startswith("Bearer")


def test_an_ended_key_opens_nothing(guarded: tuple[TestClient, Services]) -> None:
    client, services = guarded
    now = datetime.now(UTC)
    past = make_key(services, Scope.READ, expires_at=now - timedelta(seconds=1))
    future = make_key(services, Scope.READ, expires_at=now + timedelta(hours=1))
    assert status(client, "GET", "/tracks", past) == 401
    assert status(client, "GET", "/tracks", future) == 200
    with services.database.write() as session:
        for key in keys.list_keys(session):
            keys.revoke_key(session, key.id)
    assert status(client, "GET", "/tracks", future) == 401


def test_a_key_is_stored_as_its_hash_and_its_use_is_noted(
    guarded: tuple[TestClient, Services],
) -> None:
    client, services = guarded
    secret = make_key(services, Scope.READ)
    status(client, "GET", "/tracks", secret)
    with services.database.read() as session:
        (row,) = keys.list_keys(session)
    assert secret not in str(vars(row))
    assert row.key_sha256 == keys.hash_key(secret)
    first_use = row.last_used_at
    assert first_use is not None
    status(client, "GET", "/tracks", secret)
    with services.database.read() as session:
        assert keys.list_keys(session)[0].last_used_at == first_use


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1.evil.example", "", "[::2]:8000", "a@b"]
)
def test_a_foreign_host_name_is_refused(idle: Running, host: str) -> None:
    response = idle.client.get(f"{API}/tracks", headers={"Host": host})
    assert (response.status_code, response.json()["error"]["code"]) == (400, "untrusted_host")


def test_behind_a_proxy_a_key_is_what_counts(guarded: tuple[TestClient, Services]) -> None:
    client, services = guarded
    headers = {
        "Host": "music.example.org",
        "Origin": "https://elsewhere.example",
        "Authorization": f"Bearer {make_key(services, Scope.ADMIN)}",
    }
    assert client.get(f"{API}/tracks", headers=headers).status_code == 200
    assert client.delete(f"{API}/tracks/{'0' * 26}", headers=headers).status_code == 404


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000"])
def test_names_of_this_machine_are_answered(idle: Running, host: str) -> None:
    assert idle.client.get(f"{API}/tracks", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    ("headers", "refused"),
    [
        ({"Origin": "http://evil.example"}, True),
        ({"Origin": "null"}, True),
        ({"Origin": "http://127.0.0.1:9999"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, True),
        ({"Origin": "http://127.0.0.1"}, False),
        ({"Sec-Fetch-Site": "same-origin"}, False),
        ({}, False),
    ],
)
def test_another_web_site_changes_nothing(
    idle: Running, headers: dict[str, str], refused: bool
) -> None:
    path = f"{API}/tracks/{'0' * 26}"
    response = idle.client.delete(path, headers=headers)
    assert response.status_code == (403 if refused else 404)
    if refused:
        assert response.json()["error"]["code"] == "cross_origin"


def test_no_answer_may_be_read_by_another_site_or_framed(idle: Running) -> None:
    for path in ("/", f"{API}/tracks", f"{API}/nothing"):
        headers = idle.client.get(path, headers={"Origin": "http://evil.example"}).headers
        assert "access-control-allow-origin" not in headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True),
        ("0.0.0.0", False), ("::", False), ("192.168.1.4", False), ("example.org", False),
    ],
)  # fmt: skip
def test_what_counts_as_this_machine(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


@pytest.mark.parametrize(
    ("changes", "has_key", "may_bind"),
    [
        ({"host": "127.0.0.1"}, False, True),
        ({"host": "0.0.0.0"}, False, False),
        ({"host": "0.0.0.0"}, True, True),
        ({"host": "0.0.0.0", "allow_open": True}, False, True),
        ({"host": "127.0.0.1", "require_key": True}, False, False),
        ({"host": "127.0.0.1", "require_key": True, "allow_open": True}, False, False),
        ({"host": "127.0.0.1", "require_key": True}, True, True),
    ],
)
def test_where_the_service_may_bind(
    database: Database, changes: dict[str, object], has_key: bool, may_bind: bool
) -> None:
    policy = AccessPolicy.from_settings(Settings.model_construct(**changes))
    if has_key:
        with database.write() as session:
            keys.create_key(session, "test", [Scope.READ])
    if may_bind:
        policy.check_bind(database)
    else:
        with pytest.raises(UnsafeBind, match="muquery key create"):
            policy.check_bind(database)


def test_an_open_service_closes_with_its_first_key(tmp_path: Path, sqlite_url: str) -> None:
    settings = make_settings(
        tmp_path / "data", sqlite_url, worker="off", host="0.0.0.0", allow_open=True
    )
    with running_service(settings) as (client, services):
        assert status(client, "GET", "/tracks", None) == 200
        assert client.get(f"{API}/tracks", headers={"Host": "any.example"}).status_code == 200
        key = make_key(services, Scope.READ)
        assert status(client, "GET", "/tracks", None) == 401
        assert status(client, "GET", "/tracks", key) == 200
