"""The outermost layer of the app: request id, timing, security headers, and the last safety net.

Pure ASGI, because a middleware that wraps responses would buffer streams and break disconnects.
"""

from __future__ import annotations

import logging
import re
import secrets
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

log = logging.getLogger(__name__)

_request_id: ContextVar[str] = ContextVar("request_id", default="-")
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


def current_request_id() -> str:
    """The id of the request being answered, "-" outside of one."""
    return _request_id.get()


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
        prefix: str = "",
    ) -> None:
        self.app = app
        self.prefix = prefix
        self.on_finished = on_finished
        self.crash_response = crash_response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        offered = Headers(scope=scope).get("x-request-id", "")
        request_id = offered if _ACCEPTABLE_ID.fullmatch(offered) else secrets.token_hex(8)
        token = _request_id.set(request_id)
        started = time.perf_counter()
        status = 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-Id"] = request_id
                headers.setdefault("Cache-Control", "no-store")
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        try:
            await self.app(scope, receive, send_with_headers)
        except ClientDisconnect:
            # Nobody is there to answer; 499 is what access logs call this.
            status = status or 499
        except Exception:
            log.exception("request %s failed", request_id)
            if status:
                raise
            await self.crash_response()(scope, receive, send_with_headers)
        finally:
            duration_s = time.perf_counter() - started
            route = self._route(scope)
            # Templates alone: what people search for stays out of the log.
            log.debug("%s %s %s %d", request_id, scope["method"], route, status)
            self.on_finished(FinishedRequest(scope["method"], route, status, duration_s))
            _request_id.reset(token)

    def _route(self, scope: Scope) -> str:
        """The route's template; routers know theirs without the prefix they are mounted under."""
        route = scope.get("route")
        template = getattr(route, "path_format", None) or getattr(route, "path", None)
        if template is None:
            return "unmatched"
        is_below = scope["path"].startswith(self.prefix) and not template.startswith(self.prefix)
        return f"{self.prefix}{template}" if is_below else str(template)
