"""API keys: random, shown once, stored as their SHA-256.

A fast hash is right here: the keys carry 256 random bits, so there is nothing to guess.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from service.database.tables import ApiKey, utc_now
from service.errors import InvalidRequest, NotFound

PREFIX = "mq_"
TOUCH_EVERY = timedelta(minutes=1)
"""`last_used_at` is written at most this often, so that reading stays a read."""


class Scope(StrEnum):
    """What a key may do; admin may do everything, write may also read."""

    READ = "read"
    WRITE = "write"
    ADMIN = "admin"


_IMPLIED: dict[str, frozenset[Scope]] = {
    Scope.READ: frozenset({Scope.READ}),
    Scope.WRITE: frozenset({Scope.READ, Scope.WRITE}),
    Scope.ADMIN: frozenset(Scope),
}


class KeyNotFound(NotFound):
    code, default_message = "key_not_found", "No key has this id."


@dataclass(frozen=True)
class NewKey:
    """A key just made; `secret` is not stored anywhere and cannot be shown again."""

    id: str
    secret: str


def covers(scopes: Collection[str], needed: Scope) -> bool:
    """Whether a key with `scopes` may do what needs `needed`."""
    return any(needed in _IMPLIED.get(scope, frozenset()) for scope in scopes)


def hash_key(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(
    session: Session, name: str, scopes: Sequence[Scope], expires_at: datetime | None = None
) -> NewKey:
    """Add a key; the caller commits."""
    if not scopes:
        raise InvalidRequest("A key needs at least one scope: read, write or admin.")
    new = NewKey(id=secrets.token_hex(6), secret=PREFIX + secrets.token_urlsafe(32))
    session.add(
        ApiKey(
            id=new.id,
            name=name,
            key_sha256=hash_key(new.secret),
            scopes=[scope.value for scope in scopes],
            expires_at=expires_at,
        )
    )
    return new


def find_valid_key(session: Session, secret: str) -> ApiKey | None:
    """The live key with this secret."""
    key = session.scalar(select(ApiKey).where(ApiKey.key_sha256 == hash_key(secret)))
    if key is None or key.revoked_at is not None:
        return None
    if key.expires_at is not None and key.expires_at <= datetime.now(UTC):
        return None
    return key


def is_touch_due(key: ApiKey) -> bool:
    """Whether the last noted use lies long enough back to be noted anew."""
    return key.last_used_at is None or datetime.now(UTC) - key.last_used_at > TOUCH_EVERY


def touch_key(session: Session, key_id: str) -> None:
    """Note that a key is in use; the caller commits."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=utc_now()))


def any_valid_key(session: Session) -> bool:
    """Whether some key would still be accepted."""
    return any(
        key.expires_at is None or key.expires_at > datetime.now(UTC)
        for key in session.scalars(select(ApiKey).where(ApiKey.revoked_at.is_(None)))
    )


def list_keys(session: Session) -> list[ApiKey]:
    return list(session.scalars(select(ApiKey).order_by(ApiKey.created_at, ApiKey.id)))


def revoke_key(session: Session, key_id: str) -> None:
    """Make a key useless from now on; KeyNotFound where there is none."""
    key = session.get(ApiKey, key_id)
    if key is None:
        raise KeyNotFound
    key.revoked_at = key.revoked_at or datetime.now(UTC)
