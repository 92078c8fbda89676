"""Cross-origin calls: none, but from the origins that the settings name.

Closed is the browser's own rule: without these headers a page of another site may send some
requests, but never reads an answer. Keys travel in a header that the page sets itself, never as
cookies, so credentials stay off and a page without a key gets nowhere.
"""

from __future__ import annotations

from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import CrossOrigin, response_of
from service.network.origins import ANY_ORIGIN

METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
REQUEST_HEADERS = (
    "authorization, content-type, range, if-none-match, if-range, last-event-id, x-request-id"
)
EXPOSED_HEADERS = (
    "X-Request-Id, Retry-After, RateLimit, RateLimit-Policy, ETag, Content-Range, "
    "Accept-Ranges, Content-Disposition"
)
MAX_AGE_S = 600


class CorsMiddleware:
    """Answers preflights, and lets pages of `origins` read what is answered, errors too."""

    def __init__(self, app: ASGIApp, *, origins: Collection[str]) -> None:
        self.app = app
        self.origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope) if scope["type"] == "http" else Headers()
        origin = headers.get("origin")
        if not self.origins or scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        allowed = origin is not None and self._allows(origin)

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                answered = MutableHeaders(scope=message)
                answered.add_vary_header("Origin")
                if allowed and origin is not None:
                    answered["Access-Control-Allow-Origin"] = origin
                    answered["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
            await send(message)

        if scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            answer = _preflight() if allowed else response_of(CrossOrigin())
            await answer(scope, receive, send_allowed)
        else:
            await self.app(scope, receive, send_allowed)

    def _allows(self, origin: str) -> bool:
        return ANY_ORIGIN in self.origins or origin in self.origins


def _preflight() -> Response:
    return Response(
        status_code=204,
        headers={
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE_S),
            "Vary": "Access-Control-Request-Method, Access-Control-Request-Headers",
        },
    )
