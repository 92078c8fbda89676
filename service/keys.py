"""API keys: random, shown once, stored as their SHA-256.

A fast hash is right here: the keys carry 256 random bits, so there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import exists, func, select, update
from sqlalchemy.orm import Session

from service.database.base import utc_now
from service.database.engine import Database, LockSpace, lock_until_commit
from service.database.paging import Keyset, Page
from service.database.tables import ApiKey
from service.errors import Conflict, InvalidRequest, NotFound
from service.tracks.metadata import clean_text

PREFIX = "mq_"
NAME_CHARS = 100
TOUCH_EVERY = timedelta(minutes=1)
"""`last_used_at` is written at most this often, so that reading stays a read."""


class Scope(StrEnum):
    """What a key may do; admin may do everything, write may also read."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


class KeyState(StrEnum):
    """valid -> expired when its time has come; either -> revoked, for good."""

    VALID = "valid"
    EXPIRED = "expired"
    REVOKED = "revoked"


_IMPLIED: dict[str, frozenset[Scope]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}


class KeyNotFound(NotFound):
    code, default_message = "key_not_found", "No key has this id."


class KeyRevoked(Conflict):
    code, default_message = "key_revoked", "This key was revoked; a revoked key stays as it is."


class LastAdminKey(Conflict):
    code = "last_admin_key"
    default_message = (
        "After this nobody could administer the service but by its command line. "
        "Make another admin key first, or say allow_last_admin=true."
    )


@dataclass(frozen=True)
class NewKey:
    """A key just made; `secret` is not stored anywhere and cannot be shown again."""

    id: str
    secret: str


def covers(scopes: Collection[str], needed: Scope) -> bool:
    """Whether a key with `scopes` may do what needs `needed`."""
    return any(needed in _IMPLIED.get(scope, frozenset()) for scope in scopes)


def hash_key(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def state_of(key: ApiKey) -> KeyState:
    if key.revoked_at is not None:
        return KeyState.REVOKED
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return KeyState.EXPIRED
    return KeyState.VALID


def create_key(
    session: Session,
    name: str,
    scopes: Sequence[Scope],
    expires_at: datetime | None = None,
    *,
    rate_factor: float = 1.0,
    per_address: bool = False,
) -> NewKey:
    """Add a key; the caller commits. Raises InvalidRequest."""
    new = NewKey(id=secrets.token_hex(6), secret=PREFIX + secrets.token_urlsafe(32))
    session.add(
        ApiKey(
            id=new.id,
            name=_clean_name(name),
            key_sha256=hash_key(new.secret),
            scopes=_scope_names(scopes),
            expires_at=expires_at,
            rate_factor=rate_factor,
            per_address=per_address,
        )
    )
    session.flush()
    return new


def rotate_key(session: Session, key_id: str, grace: timedelta = timedelta(0)) -> NewKey:
    """A new key of the same kind; the old one ends after `grace`. The caller commits.

    A lifetime starts anew. Raises KeyNotFound, KeyRevoked.
    """
    old = get_key(session, key_id, lock=True)
    if old.revoked_at is not None:
        raise KeyRevoked(key_id=key_id)
    now = datetime.now(UTC)
    lifetime = None if old.expires_at is None else old.expires_at - old.created_at
    new = create_key(
        session,
        old.name,
        [Scope(scope) for scope in old.scopes],
        None if lifetime is None else now + lifetime,
        rate_factor=old.rate_factor,
        per_address=old.per_address,
    )
    if grace > timedelta(0):
        ends = now + grace
        old.expires_at = ends if old.expires_at is None else min(ends, old.expires_at)
    else:
        old.revoked_at = now
    return new


def find_valid_key(session: Session, secret: str) -> ApiKey | None:
    """The live key with this secret."""
    key = session.scalar(select(ApiKey).where(ApiKey.key_sha256 == hash_key(secret)))
    return key if key is not None and state_of(key) is KeyState.VALID else None


def is_touch_due(key: ApiKey) -> bool:
    """Whether the last noted use lies long enough back to be noted anew."""
    return key.last_used_at is None or datetime.now(UTC) - key.last_used_at > TOUCH_EVERY


def touch_key(session: Session, key_id: str) -> None:
    """Note that a key is in use; the caller commits."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=utc_now()))


def any_key(session: Session) -> bool:
    """Whether a key was ever made, however it ended."""
    return bool(session.scalar(select(exists(select(ApiKey.id)))))


def any_valid_key(session: Session, needed: Scope = Scope.READ) -> bool:
    """Whether some key would still be accepted for what needs `needed`."""
    return any(
        state_of(key) is KeyState.VALID and covers(key.scopes, needed)
        for key in session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None)))
    )


def get_key(session: Session, key_id: str, *, lock: bool = False) -> ApiKey:
    """Raises KeyNotFound. With `lock`, one transaction at a time changes keys."""
    if lock:
        lock_until_commit(session, LockSpace.API_KEYS)
    key = session.get(ApiKey, key_id)
    if key is None:
        raise KeyNotFound
    return key


def list_keys(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)))


def revoke_key(session: Session, key_id: str, *, allow_last_admin: bool = True) -> None:
    """Make a key useless from now on; raises KeyNotFound, LastAdminKey."""
    key = get_key(session, key_id, lock=True)
    had_admin = any_valid_key(session, Scope.ADMIN)
    key.revoked_at = key.revoked_at or datetime.now(UTC)
    _check_admin_left(session, had_admin, allow_last_admin)


def change_key(
    session: Session, key_id: str, values: Mapping[str, Any], *, allow_last_admin: bool = True
) -> ApiKey:
    """Set the given fields (name, scopes, expires_at, rate_factor, per_address).

    Raises KeyNotFound, KeyRevoked, InvalidRequest, LastAdminKey.
    """
    key = get_key(session, key_id, lock=True)
    if key.revoked_at is not None:
        raise KeyRevoked(key_id=key_id)
    had_admin = any_valid_key(session, Scope.ADMIN)
    if "name" in values:
        key.name = _clean_name(values["name"])
    if "scopes" in values:
        key.scopes = _scope_names(values["scopes"])
    if "expires_at" in values:
        _check_expiry(values["expires_at"])
        key.expires_at = values["expires_at"]
    key.rate_factor = values.get("rate_factor", key.rate_factor)
    key.per_address = values.get("per_address", key.per_address)
    _check_admin_left(session, had_admin, allow_last_admin)
    return key


class KeyService:
    """Keys as an administrator handles them over HTTP; rows come back detached.

    `guards_admin` says that keys are asked for here, so that the last admin key may not go
    unless the caller says so.
    """

    def __init__(self, database: Database, *, guards_admin: bool) -> None:
        self._database = database
        self._guards_admin = guards_admin

    def create(self, values: Mapping[str, Any]) -> tuple[ApiKey, str]:
        """The key and its secret; raises InvalidRequest."""
        _check_expiry(values.get("expires_at"))
        with self._database.write() as session:
            new = create_key(session, **values)
            return get_key(session, new.id), new.secret

    def get_key(self, key_id: str) -> ApiKey:
        """Raises KeyNotFound."""
        with self._database.read() as session:
            return get_key(session, key_id)

    def list_keys(self, *, limit: int = 50, cursor: str | None = None) -> Page[ApiKey]:
        """Newest first; raises InvalidCursor."""
        keyset = Keyset("created_at", ApiKey.created_at.expression, ApiKey.id.expression, True)
        query = (
            select(ApiKey)
            .where(*keyset.after(cursor))
            .order_by(*keyset.order_by())
            .limit(limit + 1)
        )
        with self._database.read() as session:
            rows = list(session.scalars(query))
            total = session.scalar(select(func.count()).select_from(ApiKey)) or 0
        last = rows[limit - 1] if len(rows) > limit else None
        more = None if last is None else keyset.cursor(last.created_at, last.id)
        return Page(rows[:limit], total, more)

    def change(
        self, key_id: str, values: Mapping[str, Any], *, allow_last_admin: bool = False
    ) -> ApiKey:
        """Raises what `change_key` does."""
        allowed = allow_last_admin or not self._guards_admin
        with self._database.write() as session:
            return change_key(session, key_id, values, allow_last_admin=allowed)

    def revoke(self, key_id: str, *, allow_last_admin: bool = False) -> None:
        """Raises what `revoke_key` does."""
        allowed = allow_last_admin or not self._guards_admin
        with self._database.write() as session:
            revoke_key(session, key_id, allow_last_admin=allowed)

    def rotate(self, key_id: str, grace: timedelta) -> tuple[ApiKey, str]:
        """The new key and its secret; raises what `rotate_key` does."""
        with self._database.write() as session:
            new = rotate_key(session, key_id, grace)
            return get_key(session, new.id), new.secret


def _check_admin_left(session: Session, had_admin: bool, allow_last_admin: bool) -> None:
    session.flush()
    if had_admin and not allow_last_admin and not any_valid_key(session, Scope.ADMIN):
        raise LastAdminKey


def _check_expiry(expires_at: datetime | None) -> None:
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise InvalidRequest("A key's end must lie in the future.", field="expires_at")


def _scope_names(scopes: Sequence[Scope]) -> list[str]:
    names = [scope.value for scope in Scope if scope in scopes]
    if not names:
        raise InvalidRequest("A key needs at least one scope: read, write or admin.")
    return names


def _clean_name(name: str) -> str:
    return clean_text(name, NAME_CHARS) or "unnamed"
