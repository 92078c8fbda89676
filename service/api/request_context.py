"""The outermost layer of the app: request id, caller's address, timing, security headers, the end
of what is audited, and the last safety net.

Pure ASGI, because a middleware that wraps responses would buffer streams and break disconnects.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field

from sqlalchemy.orm import Session
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.audit import Act
from service.database.engine import added_to_writes
from service.network.addresses import TrustedProxies

log = logging.getLogger(__name__)

_ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

SECURITY_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        "media-src 'self' blob:; connect-src 'self'; font-src 'self'; manifest-src 'self'; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}


@dataclass
class RequestFacts:
    """What is known of the request being answered; threads that work for it share this object.

    `headers` are added to its answer, whatever that will be.
    """

    request_id: str = "-"
    address: str = "unknown"
    headers: dict[str, str] = field(default_factory=dict)
    act: Act | None = None

    def add_to_write(self, session: Session) -> None:
        if self.act is not None:
            self.act.add_to(session)


_facts: ContextVar[RequestFacts | None] = ContextVar("request_facts", default=None)


def current_facts() -> RequestFacts:
    """Of the request being answered; empty ones outside of one."""
    return _facts.get() or RequestFacts()


def current_request_id() -> str:
    """The id of the request being answered, "-" outside of one."""
    return current_facts().request_id


def note_target(target: str) -> None:
    """Say in the audit log what this request changes, where its path does not name it."""
    act = current_facts().act
    if act is not None:
        act.note_target(target)


@dataclass(frozen=True)
class FinishedRequest:
    """One answered request, for logs and metrics; `route` is the template, never the raw path."""

    method: str
    route: str
    status: int
    duration_s: float


class RequestContextMiddleware:
    """Gives each request an id, its responses the security headers, and a crash a plain 500."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        on_finished: Callable[[FinishedRequest], None],
        crash_response: Callable[[], Response],
        end_act: Callable[[Act, int], None],
        proxies: TrustedProxies | None = None,
        prefix: str = "",
    ) -> None:
        self.app = app
        self.end_act = end_act
        self.proxies = proxies or TrustedProxies()
        self.prefix = prefix
        self.on_finished = on_finished
        self.crash_response = crash_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        facts = self._facts_of(scope)
        token = _facts.set(facts)
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                # Before the caller hears of it: who changed something finds it in the log.
                await self._end_act(facts, status)
                _add_headers(message, facts)
            await send(message)

        try:
            with added_to_writes(facts.add_to_write):
                await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            # Nobody is there to answer; 499 is what access logs call this.
            status = status or 499
        except Exception:
            log.exception("request %s failed", facts.request_id)
            if status:
                raise
            await self.crash_response()(scope, receive, send_with_headers)
        finally:
            await self._end_act(facts, status)
            duration_s = time.perf_counter() - started
            route = self._route(scope)
            # Templates alone: what people search for stays out of the log.
            log.debug("%s %s %s %d", facts.request_id, scope["method"], route, status)
            self.on_finished(FinishedRequest(scope["method"], route, status, duration_s))
            _facts.reset(token)

    def _facts_of(self, scope: Scope) -> RequestFacts:
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id", "")
        peer = scope.get("client")
        return RequestFacts(
            request_id=offered if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8),
            address=self.proxies.client_address(
                peer[0] if peer else None, headers.getlist("x-forwarded-for")
            ),
        )

    async def _end_act(self, facts: RequestFacts, status: int) -> None:
        act, facts.act = facts.act, None
        if act is None:
            return
        try:
            await run_in_threadpool(self.end_act, act, status)
        except Exception:
            # The change is committed, with its row: only its outcome is missing there.
            log.exception("the outcome of request %s was not audited", facts.request_id)

    def _route(self, scope: Scope) -> str:
        """The route's template; routers know theirs without the prefix they are mounted under."""
        route = scope.get("route")
        template = getattr(route, "path_format", None) or getattr(route, "path", None)
        if template is None:
            return "unmatched"
        is_below = scope["path"].startswith(self.prefix) and not template.startswith(self.prefix)
        return f"{self.prefix}{template}" if is_below else str(template)


def _add_headers(message: Message, facts: RequestFacts) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = facts.request_id
    headers.setdefault("Cache-Control", "no-store")
    for name, value in {**SECURITY_HEADERS, **facts.headers}.items():
        headers.setdefault(name, value)
