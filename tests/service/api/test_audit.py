"""The audit log: every write has its row, no read has one, and it holds no secrets."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event, select, update
from sqlalchemy.orm import Session

from service.audit import LOCAL, record
from service.database.tables import AuditEntry, Track
from service.keys import Scope
from tests.support.keys import Guarded, guarded_service
from tests.support.rows import new_track
from tests.support.service import API

NOBODY = "0" * 26


@pytest.fixture
def guarded(tmp_path: Path, database_url: str) -> Iterator[Guarded]:
    with guarded_service(
        tmp_path / "data", database_url, trusted_proxies="10.0.0.1", cors_origins="https://a.b"
    ) as service:
        yield service


@pytest.fixture
def admin(guarded: Guarded) -> str:
    return guarded.make_key(Scope.ADMIN)


def entries(guarded: Guarded, admin: str, **filters: Any) -> list[dict[str, Any]]:
    answer = guarded.call("GET", "/audit", admin, params=filters)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def add_track(guarded: Guarded) -> str:
    with guarded.services.database.write() as session:
        return new_track(session).id


def test_who_changed_what_from_where_and_how_it_ended(
    guarded: Guarded, admin: str, tmp_path: Path
) -> None:
    track_id, key = add_track(guarded), guarded.make_key(Scope.WRITE)
    proxy = guarded.from_address("10.0.0.1")
    headers = {"X-Forwarded-For": "2001:db8::7", "X-Request-Id": "delete-one-track"}
    answer = proxy.call("DELETE", f"/tracks/{track_id}", key, headers=headers)
    assert answer.status_code == 204
    (entry,) = entries(guarded, admin)
    assert abs(datetime.fromisoformat(entry.pop("at")) - datetime.now(UTC)) < timedelta(minutes=1)
    assert entry.pop("id") > 0
    assert entry == {
        "actor": "key",
        "key_id": guarded.key_id(key),
        "key_name": "test",
        "address": "2001:db8::7",
        "action": "delete_track",
        "target": track_id,
        "outcome": "ok",
        "status": 204,
        "request_id": "delete-one-track",
    }


def test_the_row_is_in_the_transaction_of_the_change(guarded: Guarded, admin: str) -> None:
    """What a kill right after the commit leaves: the change and its row, without an outcome."""
    track_id, key = add_track(guarded), guarded.make_key(Scope.WRITE)
    seen: list[tuple[bool, list[str]]] = []

    def look(session: Session) -> None:
        if session.scalar(select(AuditEntry.pk)) is not None:
            gone = session.scalar(select(Track.pk).where(Track.id == track_id)) is None
            seen.append((gone, list(session.scalars(select(AuditEntry.outcome)))))

    event.listen(Session, "before_commit", look)
    try:
        guarded.call("DELETE", f"/tracks/{track_id}", key)
    finally:
        event.remove(Session, "before_commit", look)
    assert seen[0] == (True, ["begun"])
    assert seen[-1] == (True, ["ok"])


def test_a_change_that_is_rolled_back_is_still_told(guarded: Guarded, admin: str) -> None:
    secret = guarded.make_key(Scope.ADMIN)
    path = f"/keys/{guarded.key_id(secret)}"
    guarded.call("DELETE", f"/keys/{guarded.key_id(admin)}", admin)
    refused = guarded.call("DELETE", path, secret)
    assert refused.status_code == 409
    first, second = entries(guarded, secret)
    assert (first["action"], first["outcome"], first["status"]) == ("revoke_key", "refused", 409)
    assert (second["outcome"], second["status"]) == ("ok", 204)


def test_what_is_refused_for_its_scope_is_told_and_reads_are_not(
    guarded: Guarded, admin: str
) -> None:
    key = guarded.make_key(Scope.READ)
    assert guarded.call("DELETE", f"/tracks/{NOBODY}", key).status_code == 403
    for method, path in (("GET", "/tracks"), ("GET", "/keys"), ("GET", "/audit")):
        guarded.call(method, path, admin)
    guarded.call("POST", "/search", key, json={"query": [{"text": "low"}]})
    guarded.call("POST", "/keys", None, json={"name": "nobody"})
    guarded.call("POST", "/keys", "mq_wrong", json={"name": "nobody"})
    (entry,) = entries(guarded, admin)
    assert (entry["action"], entry["target"]) == ("delete_track", NOBODY)
    assert (entry["outcome"], entry["status"]) == ("refused", 403)


def test_a_crash_is_told_as_failed(
    guarded: Guarded, admin: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(guarded.services.tracks, "delete_track", broken)
    assert guarded.call("DELETE", f"/tracks/{NOBODY}", admin).status_code == 500
    (entry,) = entries(guarded, admin)
    assert (entry["outcome"], entry["status"]) == ("failed", 500)


def test_no_secret_and_nothing_that_was_sent_is_in_it(guarded: Guarded, admin: str) -> None:
    made = guarded.call("POST", "/keys", admin, json={"name": "a private name"}).json()
    guarded.call("PATCH", f"/tracks/{add_track(guarded)}", admin, json={"title": "a secret title"})
    guarded.call("POST", "/tracks", admin, files={"file": ("a secret file.wav", b"not audio")})
    found = entries(guarded, admin)
    assert [entry["action"] for entry in found] == ["upload_track", "edit_track", "create_key"]
    assert found[2]["target"] == made["key"]["id"]
    with guarded.services.database.read() as session:
        rows = [vars(entry) for entry in session.scalars(select(AuditEntry))]
    for word in ("secret", "private", "not audio", made["secret"], admin):
        assert word not in str(rows)


def test_an_upload_names_its_track(guarded: Guarded, admin: str, tones: dict[str, Path]) -> None:
    files = {"file": ("low.flac", tones["low"].read_bytes())}
    track = guarded.call("POST", "/tracks", admin, files=files).json()["track"]
    (entry,) = entries(guarded, admin)
    assert (entry["action"], entry["target"], entry["status"]) == ("upload_track", track["id"], 202)


def test_filters_and_pages(guarded: Guarded, admin: str) -> None:
    key = guarded.make_key(Scope.WRITE)
    for number in range(5):
        guarded.call("DELETE", f"/tracks/{number:026}", key)
    guarded.call("POST", "/keys", admin, json={"name": "one"})
    with guarded.services.database.write() as session:
        record(session, LOCAL, "revoke_key", "abc")
    assert len(entries(guarded, admin)) == 7
    for filters, count in (
        ({"key_id": guarded.key_id(key)}, 5),
        ({"action": "create_key"}, 1),
        ({"actor": "local"}, 1),
        ({"target": f"{3:026}"}, 1),
        ({"outcome": "refused"}, 5),
        ({"outcome": "refused", "action": "create_key"}, 0),
        ({"since": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, 7),
        ({"until": (datetime.now(UTC) - timedelta(hours=1)).isoformat()}, 0),
    ):
        assert len(entries(guarded, admin, **filters)) == count, filters
    seen: list[int] = []
    cursor: dict[str, str] = {}
    while True:
        page = guarded.call("GET", "/audit", admin, params={"limit": 3, **cursor}).json()
        assert page["total"] == 7
        seen += [entry["id"] for entry in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 7
    bad = guarded.call("GET", "/audit", admin, params={"cursor": "x"})
    assert bad.json()["error"]["code"] == "invalid_cursor"


def test_only_administrators_read_it(guarded: Guarded) -> None:
    for scope in (Scope.READ, Scope.WRITE):
        assert guarded.call("GET", "/audit", guarded.make_key(scope)).status_code == 403


def test_old_entries_go_after_their_time(guarded: Guarded, admin: str) -> None:
    for number in range(3):
        guarded.call("DELETE", f"/tracks/{number:026}", admin)
    database, audit = guarded.services.database, guarded.services.audit
    with database.write() as session:
        old = select(AuditEntry.pk).order_by(AuditEntry.pk).limit(2)
        ago = datetime.now(UTC) - timedelta(days=31)
        session.execute(update(AuditEntry).where(AuditEntry.pk.in_(old)).values(at=ago))
    assert audit.prune(0) == 0
    assert audit.prune(32) == 0
    assert audit.prune(30) == 2
    (entry,) = entries(guarded, admin)
    assert entry["target"] == f"{2:026}"


def test_an_open_service_tells_the_address(tmp_path: Path, sqlite_url: str) -> None:
    with guarded_service(tmp_path / "data", sqlite_url, require_key=False) as service:
        service.from_address("127.0.0.1").client.delete(f"{API}/tracks/{NOBODY}")
        (entry,) = service.call("GET", "/audit").json()["items"]
        assert (entry["actor"], entry["key_id"]) == ("open", None)
        assert entry["address"] == "127.0.0.1"
