"""A service that asks for keys, and calls to it with them, from any address."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx2
from fastapi.testclient import TestClient

from service import keys
from service.keys import Scope
from service.runtime import Services
from tests.support.service import API, make_settings, running_service


@dataclass
class Guarded:
    """A running service on which everything needs a key."""

    client: TestClient
    services: Services

    def make_key(self, *scopes: Scope, **kind: Any) -> str:
        """The secret of a new key, made as the command line makes it."""
        expires_at: datetime | None = kind.pop("expires_at", None)
        with self.services.database.write() as session:
            new = keys.create_key(session, "test", scopes, expires_at, **kind)
            return new.secret

    def key_id(self, secret: str) -> str:
        with self.services.database.read() as session:
            digest = keys.hash_key(secret)
            return next(key.id for key in keys.list_keys(session) if key.key_sha256 == digest)

    def call(
        self, method: str, path: str, key: str | None = None, **content: Any
    ) -> httpx2.Response:
        headers = {**({"Authorization": f"Bearer {key}"} if key else {})}
        headers |= content.pop("headers", {})
        return self.client.request(method, API + path, headers=headers, **content)

    def from_address(self, address: str) -> Guarded:
        """The same service, called from there."""
        client = TestClient(self.client.app, base_url="http://127.0.0.1", client=(address, 4711))
        return Guarded(client, self.services)


@contextmanager
def guarded_service(data_dir: Path, database_url: str, **changes: Any) -> Iterator[Guarded]:
    """With `require_key` and without a worker."""
    settings = make_settings(
        data_dir, database_url, **({"worker": "off", "require_key": True} | changes)
    )
    with running_service(settings) as (client, services):
        yield Guarded(client, services)
