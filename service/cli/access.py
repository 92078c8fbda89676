"""Commands on keys and on the audit log.

Keys are handled in the database of this machine, so that the first one can be made at all, or at a
running service where `--url` names one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from sqlalchemy.orm import Session

from service import keys
from service.audit import LOCAL, record
from service.cli.client import connect, upgrade_database
from service.cli.options import Key, Limit, Url, read_settings, target
from service.cli.output import CliError, console, error_console, print_table
from service.database.engine import Database, opened_database
from service.database.tables import ApiKey
from service.keys import LastAdminKey, Scope

KeyId = Annotated[str, typer.Argument(help="The id that `muquery key list` shows.")]


def create_key(
    name: Annotated[str, typer.Option(help="Whose key it is, for the list.")] = "unnamed",
    scope: Annotated[
        list[Scope] | None, typer.Option(help="read, write or admin; may be given again.")
    ] = None,
    days: Annotated[int | None, typer.Option(min=1, help="Days until it expires.")] = None,
    rate: Annotated[
        float, typer.Option(min=0.001, max=1000, help="How many times the usual rates it has.")
    ] = 1.0,
    per_address: Annotated[
        bool, typer.Option(help="Count each address on its own: for a key in a public page.")
    ] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a key; it is shown once."""
    scopes = scope or [Scope.READ]
    expires_at = None if days is None else datetime.now(UTC) + timedelta(days=days)
    kind = {"rate_factor": rate, "per_address": per_address}
    if url is None:
        with _writing() as session:
            new = keys.create_key(session, name, scopes, expires_at, **kind)  # type: ignore[arg-type]
            record(session, LOCAL, "create_key", new.id)
        secret = new.secret
    else:
        ends = None if expires_at is None else expires_at.isoformat()
        body = {"name": name, "scopes": scopes, "expires_at": ends, **kind}
        secret = _over_http(url, key, "POST", "/keys", json=body)["secret"]
    _show_secret(secret)


def list_keys(url: Url = None, key: Key = None) -> None:
    """List the keys; their secrets are not stored."""
    if url is None:
        with _reading() as session:
            rows = [_row(_fields(found)) for found in keys.list_keys(session)]
    else:
        rows = [_row(item) for item in reversed(_all_keys(url, key))]
    print_table(("Id", "Name", "Scopes", "Made", "Last used", "Expires", "State"), rows)


def revoke_key(
    key_id: KeyId,
    last_admin: Annotated[
        bool, typer.Option("--last-admin", help="Also if no usable admin key is left then.")
    ] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a key useless from now on."""
    if url is None:
        try:
            with _writing() as session:
                keys.revoke_key(session, key_id, allow_last_admin=last_admin)
                record(session, LOCAL, "revoke_key", key_id)
        except LastAdminKey:
            raise CliError("no usable admin key would be left; say so with --last-admin") from None
    else:
        params = {"allow_last_admin": last_admin}
        _over_http(url, key, "DELETE", f"/keys/{key_id}", params=params)
    console().print(f"key {key_id} is revoked.", highlight=False)


def rotate_key(
    key_id: KeyId,
    grace_hours: Annotated[
        float, typer.Option(min=0, max=8760, help="Hours that the old key still works.")
    ] = 0.0,
    url: Url = None,
    key: Key = None,
) -> None:
    """Make a new key of the same kind in place of this one; it is shown once."""
    grace = timedelta(hours=grace_hours)
    if url is None:
        with _writing() as session:
            new = keys.rotate_key(session, key_id, grace)
            record(session, LOCAL, "rotate_key", f"{key_id}/{new.id}")
        secret = new.secret
    else:
        path, params = f"/keys/{key_id}/rotate", {"grace_s": grace.total_seconds()}
        secret = _over_http(url, key, "POST", path, params=params)["secret"]
    _show_secret(secret)


def audit(
    key_id: Annotated[str | None, typer.Option(help="What this key did.")] = None,
    action: Annotated[str | None, typer.Option(help="Such as delete_track.")] = None,
    target_id: Annotated[
        str | None, typer.Option("--target", help="What was done to this track, key, ….")
    ] = None,
    outcome: Annotated[str | None, typer.Option(help="ok, refused, failed or begun.")] = None,
    days: Annotated[float | None, typer.Option(min=0, help="In the last so many days.")] = None,
    limit: Limit = 50,
    url: Url = None,
    key: Key = None,
) -> None:
    """Who changed what, newest first."""
    since = None if days is None else (datetime.now(UTC) - timedelta(days=days)).isoformat()
    filters = {"key_id": key_id, "action": action, "target": target_id, "outcome": outcome}
    wanted = {**filters, "since": since, "limit": limit}
    given = {name: value for name, value in wanted.items() if value is not None}
    page = _over_http(url, key, "GET", "/audit", params=given)
    print_table(
        ("When", "Who", "From", "What", "Target", "Outcome", "Status"),
        (
            (
                f"{_time(entry['at']):%Y-%m-%d %H:%M:%S}",
                _who(entry),
                entry["address"],
                entry["action"],
                entry["target"],
                entry["outcome"],
                entry["status"],
            )
            for entry in page["items"]
        ),
    )
    if len(page["items"]) < page["total"]:
        console().print(f"{len(page['items'])} of {page['total']} shown.", highlight=False)


def _who(entry: dict[str, Any]) -> str:
    if entry["actor"] == "key":
        return f"{entry['key_name']} ({entry['key_id']})"
    return "the command line" if entry["actor"] == "local" else "anyone"


def _fields(found: ApiKey) -> dict[str, Any]:
    return {**vars(found), "state": keys.state_of(found)}


def _row(fields: dict[str, Any]) -> tuple[object, ...]:
    made, used, ends = (
        _time(fields[name]) for name in ("created_at", "last_used_at", "expires_at")
    )
    return (
        fields["id"],
        fields["name"],
        " ".join(fields["scopes"]),
        made and f"{made:%Y-%m-%d}",
        used and f"{used:%Y-%m-%d %H:%M}",
        ends and f"{ends:%Y-%m-%d}",
        fields["state"],
    )


def _time(value: datetime | str | None) -> Any:
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _show_secret(secret: str) -> None:
    error_console().print("Keep it: it cannot be shown again.")
    typer.echo(secret)


def _all_keys(url: str, key: str | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    params: dict[str, Any] = {"limit": 200}
    while True:
        page = _over_http(url, key, "GET", "/keys", params=params)
        found += page["items"]
        if page["next_cursor"] is None:
            return found
        params["cursor"] = page["next_cursor"]


def _over_http(url: str | None, key: str | None, method: str, path: str, **content: Any) -> Any:
    async def send() -> Any:
        async with connect(target(url, key), read_settings()) as client:
            return await client.request(method, path, **content)

    return asyncio.run(send())


@contextmanager
def _reading() -> Iterator[Session]:
    with _opened() as database, database.read() as session:
        yield session


@contextmanager
def _writing() -> Iterator[Session]:
    with _opened() as database, database.write() as session:
        yield session


def _opened() -> AbstractContextManager[Database]:
    settings = read_settings()
    upgrade_database(settings)
    return opened_database(settings.resolved_database_url)
