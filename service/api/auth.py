"""Dependencies that let a call pass or refuse it: by its key's scope, and by how often it came."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access.gate import Caller
from service.access.limits import WINDOW_S, RateLimited, Taken
from service.api.cost import cost_class
from service.api.dependencies import ServicesDep
from service.api.request_context import RequestFacts, current_facts
from service.audit import Act
from service.keys import Scope

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

bearer = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key made with `muquery key create`. Not asked for on loopback by default.",
)
Credentials = Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]


def _require(needed: Scope) -> Callable[..., Caller]:
    def check(request: Request, services: ServicesDep, credentials: Credentials) -> Caller:
        facts = current_facts()
        secret = credentials.credentials if credentials else None
        kind = cost_class(request.method, request.scope["route"].path_format)
        try:
            admission = services.gate.admit(secret, facts.address, kind)
        except RateLimited as refused:
            facts.headers |= rate_headers(refused.taken)
            raise
        if admission.taken is not None:
            facts.headers |= rate_headers(admission.taken)
        if needed is not Scope.READ and request.method not in SAFE_METHODS:
            facts.act = _act(request, facts, admission.caller)
        admission.caller.check(needed)
        return admission.caller

    return check


def _act(request: Request, facts: RequestFacts, caller: Caller) -> Act:
    """What is audited from here on: an endpoint by its own name, its target by the path."""
    target = "/".join(str(value) for value in request.path_params.values())
    action = request.scope["route"].name
    return Act(caller.actor, action, target=target or None, request_id=facts.request_id)


def rate_headers(taken: Taken) -> dict[str, str]:
    """What is left of the rate, as draft-ietf-httpapi-ratelimit-headers writes it."""
    name = taken.kind.value
    return {
        "RateLimit-Policy": f'"{name}";q={taken.limit};w={WINDOW_S:.0f}',
        "RateLimit": f'"{name}";r={taken.left};t={math.ceil(taken.full_in_s)}',
    }


MAY_READ: Any = Depends(_require(Scope.READ))
MAY_WRITE: Any = Depends(_require(Scope.WRITE))
MAY_ADMIN: Any = Depends(_require(Scope.ADMIN))
CallerDep = Annotated[Caller, MAY_READ]
