"""Dependencies that let a call pass or refuse it by its key's scope."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.api.dependencies import ServicesDep
from service.keys import Scope

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key made with `muquery key create`. Not asked for on loopback by default.",
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


def _require(needed: Scope) -> Callable[..., None]:
    def check(services: ServicesDep, credentials: Credentials) -> None:
        secret = credentials.credentials if credentials else None
        services.access.authorise(services.database, secret, needed)

    return check


MAY_READ: Any = Depends(_require(Scope.READ))
MAY_WRITE: Any = Depends(_require(Scope.WRITE))
MAY_ADMIN: Any = Depends(_require(Scope.ADMIN))
