"""Keys over HTTP: made, shown once, changed, rotated, revoked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from service.keys import Scope
from tests.service.api.conftest import Running
from tests.support.keys import Guarded, guarded_service


@pytest.fixture
def guarded(tmp_path: Path, database_url: str) -> Iterator[Guarded]:
    with guarded_service(tmp_path / "data", database_url) as service:
        yield service


@pytest.fixture
def admin(guarded: Guarded) -> str:
    return guarded.make_key(Scope.ADMIN)


def test_a_key_is_made_shown_once_and_works(guarded: Guarded, admin: str) -> None:
    ends = datetime.now(UTC) + timedelta(days=30)
    wanted = {"name": "site", "scopes": ["read", "write"], "expires_at": ends.isoformat()}
    made = guarded.call("POST", "/keys", admin, json=wanted)
    assert made.status_code == 201
    secret, key = made.json()["secret"], made.json()["key"]
    assert key["scopes"] == ["read", "write"]
    assert datetime.fromisoformat(key["expires_at"]) == ends
    assert (key["state"], key["last_used_at"], key["revoked_at"]) == ("valid", None, None)
    assert guarded.call("GET", "/tracks", secret).status_code == 200
    assert guarded.call("GET", "/keys", secret).status_code == 403
    again = guarded.call("GET", f"/keys/{key['id']}", admin)
    assert again.json()["last_used_at"] is not None
    for answer in (again, guarded.call("GET", "/keys", admin)):
        assert secret not in answer.text
        assert "sha256" not in answer.text


def test_keys_are_listed_newest_first_page_by_page(guarded: Guarded, admin: str) -> None:
    made = [
        guarded.call("POST", "/keys", admin, json={"name": f"key {n}"}).json()["key"]["id"]
        for n in range(5)
    ]
    seen, cursor = [], None
    while True:
        page = guarded.call("GET", "/keys", admin, params={"limit": 2, "cursor": cursor} if cursor
                            else {"limit": 2}).json()  # fmt: skip
        assert page["total"] == 6
        seen += [key["id"] for key in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert seen == [*reversed(made), guarded.key_id(admin)]


def test_changes_are_in_force_with_the_next_call(guarded: Guarded, admin: str) -> None:
    secret = guarded.make_key(Scope.READ)
    path = f"/keys/{guarded.key_id(secret)}"
    delete = ("DELETE", f"/tracks/{'0' * 26}")
    assert guarded.call(*delete, secret).status_code == 403
    changed = guarded.call("PATCH", path, admin, json={"scopes": ["write"], "name": "new name"})
    assert (changed.json()["name"], changed.json()["scopes"]) == ("new name", ["write"])
    assert guarded.call(*delete, secret).status_code == 404
    ends = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert guarded.call("PATCH", path, admin, json={"expires_at": ends}).status_code == 200
    lives_on = guarded.call("PATCH", path, admin, json={"expires_at": None}).json()
    assert lives_on["expires_at"] is None
    assert lives_on["scopes"] == ["write"], "what is absent stays"


@pytest.mark.parametrize(
    "body",
    [
        {"expires_at": "2001-01-01T00:00:00Z"},
        {"expires_at": "2099-01-01T00:00:00"},
        {"scopes": []},
        {"scopes": ["owner"]},
        {"scopes": None},
        {"name": None},
        {"name": ""},
        {"rate_factor": 0},
        {"rate_factor": 1e9},
        {"key_sha256": "0" * 64},
        {"revoked_at": None},
    ],
)
def test_what_no_key_can_be_is_refused(guarded: Guarded, admin: str, body: object) -> None:
    answer = guarded.call("PATCH", f"/keys/{guarded.key_id(admin)}", admin, json=body)
    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


def test_a_name_is_kept_without_what_databases_refuse(guarded: Guarded, admin: str) -> None:
    made = guarded.call("POST", "/keys", admin, json={"name": " a\x00b\n"})
    assert made.json()["key"]["name"] == "ab"
    assert guarded.call("POST", "/keys", admin, json={"name": "\x00"}).json()["key"]["name"]


def test_a_revoked_key_ends_at_once_and_stays_in_the_list(guarded: Guarded, admin: str) -> None:
    secret = guarded.make_key(Scope.WRITE)
    path = f"/keys/{guarded.key_id(secret)}"
    assert guarded.call("DELETE", path, admin).status_code == 204
    assert guarded.call("GET", "/tracks", secret).status_code == 401
    assert guarded.call("GET", path, admin).json()["state"] == "revoked"
    assert guarded.call("DELETE", path, admin).status_code == 204, "once more changes nothing"
    answer = guarded.call("PATCH", path, admin, json={"name": "risen"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (409, "key_revoked")


@pytest.mark.parametrize("key_id", ["0" * 12, "a.b", "%00", "A" * 12, "x"])
def test_an_unknown_key_is_not_found(guarded: Guarded, admin: str, key_id: str) -> None:
    for method in ("GET", "DELETE"):
        answer = guarded.call(method, f"/keys/{key_id}", admin)
        assert answer.status_code == 404


def test_rotation_gives_a_new_secret_and_ends_the_old_one(guarded: Guarded, admin: str) -> None:
    old = guarded.make_key(Scope.WRITE, rate_factor=3.0, per_address=True)
    made = guarded.call("POST", f"/keys/{guarded.key_id(old)}/rotate", admin)
    assert made.status_code == 201
    key = made.json()["key"]
    assert (key["scopes"], key["rate_factor"], key["per_address"]) == (["write"], 3.0, True)
    assert guarded.call("GET", "/tracks", made.json()["secret"]).status_code == 200
    assert guarded.call("GET", "/tracks", old).status_code == 401
    answer = guarded.call("POST", f"/keys/{guarded.key_id(old)}/rotate", admin)
    assert answer.json()["error"]["code"] == "key_revoked"


def test_a_rotated_key_may_live_on_for_a_while(guarded: Guarded, admin: str) -> None:
    ends = datetime.now(UTC) + timedelta(days=90)
    old = guarded.make_key(Scope.READ, expires_at=ends)
    path = f"/keys/{guarded.key_id(old)}"
    made = guarded.call("POST", f"{path}/rotate", admin, params={"grace_s": 3600}).json()
    assert guarded.call("GET", "/tracks", old).status_code == 200
    old_ends = datetime.fromisoformat(guarded.call("GET", path, admin).json()["expires_at"])
    assert old_ends < datetime.now(UTC) + timedelta(hours=1)
    assert datetime.fromisoformat(made["key"]["expires_at"]) > ends, "its lifetime starts anew"


def test_the_last_admin_key_does_not_go_unsaid(guarded: Guarded, admin: str) -> None:
    other = guarded.make_key(Scope.WRITE)
    gone = guarded.make_key(Scope.ADMIN, expires_at=datetime.now(UTC) - timedelta(days=1))
    path = f"/keys/{guarded.key_id(admin)}"
    for method, content in (("DELETE", {}), ("PATCH", {"json": {"scopes": ["write"]}})):
        answer = guarded.call(method, path, admin, **content)
        assert (answer.status_code, answer.json()["error"]["code"]) == (409, "last_admin_key")
        assert guarded.call("GET", "/keys", admin).status_code == 200, "nothing changed"
    for harmless in (other, gone):
        answer = guarded.call("DELETE", f"/keys/{guarded.key_id(harmless)}", admin)
        assert answer.status_code == 204
    assert guarded.call("POST", f"{path}/rotate", admin, params={"grace_s": 60}).is_success
    assert guarded.call("DELETE", path, admin).status_code == 204, "the new one is left"


def test_the_last_admin_key_goes_when_it_is_said(guarded: Guarded, admin: str) -> None:
    path = f"/keys/{guarded.key_id(admin)}"
    assert guarded.call("DELETE", path, admin, params={"allow_last_admin": True}).is_success
    assert guarded.call("GET", "/tracks", admin).status_code == 401


def test_a_caller_learns_what_it_may_do(guarded: Guarded, admin: str) -> None:
    own = guarded.call("GET", "/keys/own", guarded.make_key(Scope.WRITE)).json()
    assert own["scopes"] == ["read", "write"]
    assert own["key"]["scopes"] == ["write"]
    assert guarded.call("GET", "/keys/own", admin).json()["scopes"] == ["read", "write", "admin"]
    assert guarded.call("GET", "/keys/own").status_code == 401


def test_without_keys_everyone_on_this_machine_may_do_everything(idle: Running) -> None:
    own = idle.client.get("/api/v1/keys/own").json()
    assert own == {"key": None, "scopes": ["read", "write", "admin"]}
    assert idle.client.post("/api/v1/keys", json={"name": "first"}).status_code == 201
    (key,) = idle.client.get("/api/v1/keys").json()["items"]
    assert idle.client.delete(f"/api/v1/keys/{key['id']}").status_code == 204
