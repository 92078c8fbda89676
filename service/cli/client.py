"""One way to talk to muquery: its REST API, over the network or inside this process.

A command without a running server starts the same application in its own process and sends the
same requests to it in memory, so that there is one code path to trust.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from service.cli.output import CliError
from service.database.migrate import DatabaseTooNew, migrate
from service.errors import NotAuthenticated
from service.settings import Settings

if TYPE_CHECKING:
    from service.runtime import Services

PREFIX = "/api/v1"
PROBE_S = 2.0
TIMEOUT = httpx.Timeout(60.0, read=600.0, write=600.0)
MAX_TRIES = 30


@dataclass(frozen=True)
class Target:
    """Where a command's requests go: `url` None means the default address, else in process."""

    url: str | None
    key: str | None


@dataclass(frozen=True)
class Client:
    """Requests to one service; `in_process` says that it lives and dies with this command."""

    http: httpx.AsyncClient
    in_process: bool
    services: Services | None = None
    """What answers in this process, for what must not go through a response in memory."""

    async def get(self, path: str, **params: Any) -> Any:
        wanted = {name: value for name, value in params.items() if value is not None}
        return _answer(await self._send("GET", path, params=wanted))

    async def post(self, path: str, **content: Any) -> Any:
        """Send `json`, or `files` and `data`."""
        return _answer(await self._send("POST", path, **content))

    async def request(self, method: str, path: str, **content: Any) -> Any:
        """Any other call; `content` is what httpx takes."""
        return _answer(await self._send(method, path, **content))

    async def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        """Send, and come again when the service says that it is busy or not ready yet."""
        for attempt in range(MAX_TRIES):
            try:
                response = await self.http.request(method, path, **content)
            except httpx.TransportError as error:
                raise CliError(f"no answer from {self.http.base_url}: {error}") from None
            if response.status_code not in (429, 503) or attempt == MAX_TRIES - 1:
                return response
            await asyncio.sleep(min(float(response.headers.get("retry-after", 1)), 10.0))
            _rewind(content)
        raise AssertionError("the last try returns")


class ApiProblem(CliError):
    """The service's own error, by its stable code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(f"{message} ({code})")
        self.status = status
        self.code = code
        self.reason = message


@asynccontextmanager
async def connect(
    target: Target, settings: Settings, *, works: bool = False
) -> AsyncIterator[Client]:
    """A client of the server at `target`, or of one inside this process; `works`: with a worker.

    Raises CliError where a given address does not answer, or the service cannot be started here.
    """
    url = target.url or f"http://127.0.0.1:{settings.port}"
    headers = {"Authorization": f"Bearer {target.key}"} if target.key else {}
    if await _is_alive(url):
        async with httpx.AsyncClient(
            base_url=url.rstrip("/") + PREFIX, headers=headers, timeout=TIMEOUT
        ) as http:
            yield Client(http, in_process=False)
        return
    if target.url is not None:
        raise CliError(f"nothing answers at {target.url}; is `muquery serve` running there?")
    async with _in_process(settings, works=works) as client:
        yield client


async def _is_alive(url: str) -> bool:
    try:
        async with httpx.AsyncClient(timeout=PROBE_S) as http:
            response = await http.get(f"{url.rstrip('/')}{PREFIX}/health/live")
            return response.is_success and response.json().get("status") == "ok"
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, AttributeError):
        return False


@asynccontextmanager
async def _in_process(settings: Settings, *, works: bool) -> AsyncIterator[Client]:
    # Brought in only here: a command that talks to a server needs none of it.
    from service.api.app import create_app

    own = settings.model_copy(
        update={
            "host": "127.0.0.1",
            "require_key": False,
            "demo_library": False,
            "worker": "thread" if works else "off",
        }
    )
    upgrade_database(own)
    services = services_of(own)
    app = create_app(own, services)
    async with app.router.lifespan_context(app):
        try:
            await asyncio.wrap_future(services.encoder.start())
        except Exception as error:
            raise CliError(f"the model cannot be loaded: {error}") from error
        await asyncio.to_thread(services.index.wait_until_ready)
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(
            transport=transport, base_url=f"http://127.0.0.1{PREFIX}", timeout=TIMEOUT
        ) as http:
            yield Client(http, in_process=True, services=services)


def services_of(settings: Settings) -> Services:
    """The services of this process; CliError where a setting asks for what is not installed."""
    from service.runtime import build_services

    try:
        return build_services(settings)
    except (ImportError, ValueError) as error:
        raise CliError(str(error)) from error


def upgrade_database(settings: Settings) -> str:
    """Bring the database to this release's schema; CliError where a newer release had it."""
    try:
        return migrate(settings.resolved_database_url)
    except DatabaseTooNew as error:
        raise CliError(f"{error}; install a newer muquery") from None


def _answer(response: httpx.Response) -> Any:
    if not response.is_success:
        raise_problem(response)
    return response.json() if response.content else None


def raise_problem(response: httpx.Response) -> NoReturn:
    """Raise the ApiProblem that an unsuccessful answer holds, or CliError for any other."""
    try:
        error = response.json()["error"]
        if error["code"] == NotAuthenticated.code:
            error["message"] = "that service asks for a key; give --key or set MUQUERY_KEY"
        raise ApiProblem(response.status_code, error["code"], error["message"])
    except (ValueError, KeyError, TypeError):
        raise CliError(f"unexpected answer {response.status_code} from {response.url}") from None


def _rewind(content: dict[str, Any]) -> None:
    for value in (content.get("files") or {}).values():
        if isinstance(value, tuple) and hasattr(value[1], "seek"):
            value[1].seek(0)
