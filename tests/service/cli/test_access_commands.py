"""`muquery key` and `muquery audit`: in the database of this machine, and at a running service."""

from pathlib import Path

import pytest

from service.cli.program import run
from tests.support.process import environment, serving


def said(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    """What a command printed; on failure what it complained of."""
    assert run(list(arguments)) == code
    captured = capsys.readouterr()
    return captured.err if code else captured.out


def rows(listed: str) -> list[str]:
    return listed.splitlines()[1:]


def test_keys_from_making_to_revoking(capsys: pytest.CaptureFixture[str]) -> None:
    secret = said(
        capsys, "key", "create", "--name", "site", "--scope", "write", "--days", "9", "--rate", "2"
    ).strip()
    (row,) = rows(said(capsys, "key", "list"))
    key_id = row.split()[0]
    assert all(word in row for word in ("site", "write", "valid"))
    rotated = said(capsys, "key", "rotate", key_id, "--grace-hours", "1").strip()
    assert rotated != secret
    assert [row.split()[-1] for row in rows(said(capsys, "key", "list"))] == ["valid", "valid"]
    said(capsys, "key", "revoke", key_id)
    assert [row.split()[-1] for row in rows(said(capsys, "key", "list"))] == ["revoked", "valid"]
    assert "was revoked" in said(capsys, "key", "rotate", key_id, code=1)


def test_the_last_admin_key_is_not_revoked_by_accident(capsys: pytest.CaptureFixture[str]) -> None:
    said(capsys, "key", "create", "--scope", "admin")
    key_id = rows(said(capsys, "key", "list"))[0].split()[0]
    assert "--last-admin" in said(capsys, "key", "revoke", key_id, code=1)
    assert "valid" in said(capsys, "key", "list")
    said(capsys, "key", "revoke", key_id, "--last-admin")
    assert "revoked" in said(capsys, "key", "list")


def test_what_the_command_line_does_is_audited(capsys: pytest.CaptureFixture[str]) -> None:
    secret = said(capsys, "key", "create").strip()
    key_id = rows(said(capsys, "key", "list"))[0].split()[0]
    said(capsys, "key", "rotate", key_id)
    log = said(capsys, "audit")
    assert [row.split("  ")[0].strip() for row in rows(log)] != []
    assert "the command line" in log
    assert [next(word for word in row.split() if word.endswith("_key")) for row in rows(log)] == [
        "rotate_key",
        "create_key",
    ]
    assert secret not in log
    assert len(rows(said(capsys, "audit", "--action", "create_key", "--days", "1"))) == 1
    assert rows(said(capsys, "audit", "--outcome", "failed")) == []


def test_keys_of_a_running_service(
    tmp_path: Path, sqlite_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    admin = said(capsys, "key", "create", "--name", "root", "--scope", "admin").strip()
    env = environment(tmp_path / "data", sqlite_url, REQUIRE_KEY="true")
    with serving(env) as server:
        there = ("--url", server.url, "--key", admin)
        secret = said(capsys, "key", "create", "--name", "remote", "--scope", "read", *there)
        root, remote = rows(said(capsys, "key", "list", *there))
        assert "root" in root
        assert "remote" in remote
        key_id = remote.split()[0]
        rotated = said(capsys, "key", "rotate", key_id, *there)
        assert rotated != secret
        assert "last_admin_key" in said(capsys, "key", "revoke", root.split()[0], *there, code=1)
        refused = said(capsys, "key", "list", "--url", server.url, "--key", rotated.strip(), code=1)
        assert "not_allowed" in refused
        log = said(capsys, "audit", "--key-id", root.split()[0], *there)
        assert [row.split()[-1] for row in rows(log)] == ["409", "201", "201"]
        said(capsys, "key", "revoke", root.split()[0], "--last-admin", *there)
