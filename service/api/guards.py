"""What is refused before any route sees it: foreign hosts, foreign origins, bodies too large."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.errors import CrossOrigin, UntrustedHost, response_of
from service.errors import TooLarge

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

DRAIN_BYTES = 32 * 1024 * 1024
DRAIN_S = 5.0


class HostGuardMiddleware:
    """Answers only under known host names, and lets no other web site change anything.

    A page elsewhere can point its own name at 127.0.0.1 (DNS rebinding) or post a form here;
    the first carries a foreign Host, the second a foreign Origin. `hosts` None allows any host.
    Where every call needs a key neither gets anywhere, and a proxy may rename the host at will.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Collection[str] | None,
        checks_origin: bool,
        origins: Collection[str] = (),
    ) -> None:
        self.app = app
        self.hosts = hosts
        self.checks_origin = checks_origin
        self.origins = frozenset(origins)  # named by the settings; "*" opens no writing here

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if self.hosts is not None and _hostname(host) not in self.hosts:
            await response_of(UntrustedHost())(scope, receive, send)
        elif self._may_write(scope) and self._is_foreign(headers, host):
            await response_of(CrossOrigin())(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    def _may_write(self, scope: Scope) -> bool:
        return self.checks_origin and scope["method"] not in _SAFE_METHODS

    def _is_foreign(self, headers: Headers, host: str) -> bool:
        return headers.get("origin") not in self.origins and _is_cross_origin(headers, host)


def _hostname(host: str) -> str:
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _is_cross_origin(headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site") == "cross-site"
    return urlsplit(origin).netloc.lower() != host.lower()


class BodyTooLarge(HTTPException):
    """An HTTPException, because FastAPI turns any other error of a body read into a 400."""

    def __init__(self) -> None:
        super().__init__(status_code=413)


class BodyLimitMiddleware:
    """Counts the body, declared and real, and answers 413 past the limit of the path.

    An error sent before its request was read to the end waits for a part of the rest: a server
    that answers and closes with bytes unread resets the connection, and the client never sees the
    answer. Past DRAIN_BYTES or DRAIN_S it is cut off all the same.
    """

    def __init__(self, app: ASGIApp, *, limit_bytes: Callable[[Scope], int]) -> None:
        self.app = app
        self.limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        limit = self.limit_bytes(scope)
        # A client that expects "100 Continue" has not sent its body yet.
        unread = _has_body(headers) and "expect" not in headers
        seen = 0

        async def counting_receive() -> Message:
            nonlocal seen, unread
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                unread = message.get("more_body", False)
                if seen > limit:
                    raise BodyTooLarge
            else:
                unread = False
            return message

        async def draining_send(message: Message) -> None:
            nonlocal unread
            if message["type"] == "http.response.start" and message["status"] >= 400 and unread:
                unread = False
                await drain(receive)
            await send(message)

        declared = headers.get("content-length", "")
        if declared.isdigit() and int(declared) > limit:
            await response_of(TooLarge(limit_bytes=limit))(scope, receive, draining_send)
        else:
            await self.app(scope, counting_receive, draining_send)


def _has_body(headers: Headers) -> bool:
    return headers.get("content-length", "0") != "0" or "transfer-encoding" in headers


async def drain(receive: Receive) -> None:
    """Read and forget the rest of a request body, within bounds."""
    seen = 0
    try:
        async with asyncio.timeout(DRAIN_S):
            while seen < DRAIN_BYTES:
                message = await receive()
                seen += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
