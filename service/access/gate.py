"""The way in: who calls, whether it may, and how often."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping
from dataclasses import dataclass

from service import keys
from service.access.limits import CostClass, RateLimits, Taken
from service.access.policy import AccessPolicy
from service.audit import Actor
from service.database.engine import Database
from service.database.tables import ApiKey
from service.errors import NotAllowed, NotAuthenticated
from service.keys import Scope
from service.network.addresses import limit_group
from service.settings import Settings

_REMEMBERED = 1_024


@dataclass(frozen=True)
class Caller:
    """Who calls; `key` is None on a service that asked for none. `has_all` ignores scopes."""

    key: ApiKey | None
    address: str
    has_all: bool

    @property
    def actor(self) -> Actor:
        if self.key is None:
            return Actor("open", address=self.address)
        return Actor("key", key_id=self.key.id, address=self.address)

    @property
    def scopes(self) -> list[Scope]:
        """Every scope that the caller's calls are covered by."""
        return [s for s in Scope if self.has_all or (self.key and keys.covers(self.key.scopes, s))]

    def check(self, needed: Scope) -> None:
        """Raise NotAllowed for a scope that is not covered."""
        if needed not in self.scopes:
            raise NotAllowed(needed_scope=needed.value)


@dataclass(frozen=True)
class Admission:
    """A caller that was let in, and what it has left of its rate; None where nothing is counted."""

    caller: Caller
    taken: Taken | None


class Gate:
    """Admits calls. One for all requests of a process; safe between threads."""

    def __init__(self, database: Database, policy: AccessPolicy, limits: RateLimits) -> None:
        self._database = database
        self._policy = policy
        self._limits = limits
        self._good = _Recent(_REMEMBERED)

    def admit(self, secret: str | None, address: str, kind: CostClass) -> Admission:
        """Raises NotAuthenticated, RateLimited, TooManyFailures."""
        group = limit_group(address)
        key = None if secret is None else self._find_key(secret, group)
        if key is None and not self._is_open():
            if secret is not None:
                self._limits.note_failure(group)
            self._limits.take(CostClass.OTHER, ("address", group))
            raise NotAuthenticated
        caller = Caller(key, address, has_all=key is None or not self._policy.asks_for_keys)
        factor = 1.0 if key is None else key.rate_factor
        return Admission(caller, self._limits.take(kind, _counted_as(key, group), factor))

    def _find_key(self, secret: str, group: str) -> ApiKey | None:
        """The valid key with this secret; raises TooManyFailures.

        Whoever guesses is stopped before the database is asked; others at the same address, whose
        keys were good a moment ago, are not.
        """
        if not self._policy.may_be_open and not self._good.has(secret):
            self._limits.check_failures(group)
        with self._database.read() as session:
            key = keys.find_valid_key(session, secret)
        if key is None:
            self._good.drop(secret)
            return None
        self._good.add(secret)
        if keys.is_touch_due(key):
            with self._database.write() as session:
                keys.touch_key(session, key.id)
        return key

    def _is_open(self) -> bool:
        """Whether calls without a key pass. The first key closes an open service for good."""
        if not self._policy.asks_for_keys:
            return True
        if not self._policy.open_without_keys:
            return False
        with self._database.read() as session:
            return not keys.any_key(session)


class _Recent:
    """Hashes of the keys that were found valid last."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._hashes: OrderedDict[str, None] = OrderedDict()

    def has(self, secret: str) -> bool:
        return keys.hash_key(secret) in self._hashes

    def add(self, secret: str) -> None:
        with self._lock:
            digest = keys.hash_key(secret)
            self._hashes[digest] = None
            self._hashes.move_to_end(digest)
            if len(self._hashes) > self._size:
                self._hashes.popitem(last=False)

    def drop(self, secret: str) -> None:
        with self._lock:
            self._hashes.pop(keys.hash_key(secret), None)


def limits_from(settings: Settings, policy: AccessPolicy) -> RateLimits:
    """The rates as the settings want them; by default none while only this machine can call."""
    per_min: Mapping[CostClass, int] = {
        CostClass.SEARCH: settings.rate_search_per_min,
        CostClass.UPLOAD: settings.rate_upload_per_min,
        CostClass.MODEL: settings.rate_model_per_min,
        CostClass.OTHER: settings.rate_other_per_min,
        CostClass.FAILED_KEY: settings.rate_failures_per_min,
    }
    wanted = settings.rate_limits
    enabled = policy.asks_for_keys if wanted == "auto" else wanted == "on"
    return RateLimits(per_min, enabled=enabled)


def _counted_as(key: ApiKey | None, group: str) -> Hashable:
    if key is None:
        return ("address", group)
    return ("key", key.id, group) if key.per_address else ("key", key.id)
