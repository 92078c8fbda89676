"""Who may talk to the service: where it may bind, and when it asks for a key.

bound to loopback      open, unless `require_key`
bound anywhere else    a key, unless `allow_open` and no key was ever made
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from service import keys
from service.database.engine import Database
from service.settings import Settings

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


class UnsafeBind(RuntimeError):
    """Served like this, anyone on the network could do anything; the message says what to do."""


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach a service that binds to `host`."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@dataclass(frozen=True)
class AccessPolicy:
    """The rule as it follows from the settings."""

    asks_for_keys: bool
    open_without_keys: bool

    @classmethod
    def from_settings(cls, settings: Settings) -> AccessPolicy:
        return cls(
            asks_for_keys=settings.require_key or not is_loopback(settings.host),
            open_without_keys=settings.allow_open and not settings.require_key,
        )

    @property
    def may_be_open(self) -> bool:
        """Whether calls without a key may be let through."""
        return not self.asks_for_keys or self.open_without_keys

    def check_bind(self, database: Database) -> None:
        """Raise UnsafeBind where a key is needed and none exists."""
        if self.may_be_open:
            return
        with database.read() as session:
            if not keys.any_valid_key(session):
                raise UnsafeBind(
                    "This address can be reached by others, or MUQUERY_REQUIRE_KEY is set, and no "
                    "key exists. Make one with `muquery key create --scope admin`, or set "
                    "MUQUERY_ALLOW_OPEN=true if anyone may do anything."
                )
