"""One way to talk to muquery: its REST API, over the network or inside this process.

A command without a running server starts the same application in its own process and sends the
same requests to it in memory, so that there is one code path to trust.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from muquery.client.async_client import AsyncClient
from muquery.client.calls import Call
from muquery.client.errors import ApiError, MuqueryError, error_of
from muquery.client.retries import Retries
from muquery.client.sending import PREFIX, TIMEOUT
from service.cli.output import CliError
from service.database.migrate import DatabaseTooNew, migrate
from service.errors import NotAuthenticated
from service.settings import Settings

if TYPE_CHECKING:
    from service.runtime import Services

PROBE_S = 2.0
PATIENT = Retries(most=30, longest_s=10.0)


@dataclass(frozen=True)
class Target:
    """Where a command's requests go: `url` None means the default address, else in process."""

    url: str | None
    key: str | None


@dataclass(frozen=True)
class Client:
    """Requests to one service; `in_process` says that it lives and dies with this command.

    The patience, the files and the errors are those of `muquery.client`; answers stay JSON here,
    because a command prints them.
    """

    api: AsyncClient
    in_process: bool
    services: Services | None = None
    """What answers in this process, for what must not go through a response in memory."""

    @property
    def http(self) -> httpx.AsyncClient:
        """The connection itself, for answers that are streamed."""
        return self.api.http

    async def get(self, path: str, **params: Any) -> Any:
        wanted = {name: value for name, value in params.items() if value is not None}
        return await self.request("GET", path, params=wanted)

    async def post(self, path: str, **content: Any) -> Any:
        """Send what `request` takes."""
        return await self.request("POST", path, **content)

    async def request(self, method: str, path: str, **content: Any) -> Any:
        """Any call: `params`, `json`, or `files` (by field) with `form`; `unhurried` for hours.

        Raises ApiProblem for what the service refuses, CliError where nothing usable answers.
        """
        call: Call[Any] = Call(method, path, _json_of, **content)
        try:
            return await self.api.send(call)
        except ApiError as error:
            raise ApiProblem(error.status, error.code, error.message) from None
        except MuqueryError as error:
            raise CliError(str(error)) from None


class ApiProblem(CliError):
    """The service's own error, by its stable code."""

    def __init__(self, status: int, code: str, message: str) -> None:
        if code == NotAuthenticated.code:
            message = "that service asks for a key; give --key or set MUQUERY_KEY"
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
            yield Client(AsyncClient(http=http, retries=PATIENT), in_process=False)
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
            api = AsyncClient(http=http, retries=PATIENT)
            yield Client(api, in_process=True, services=services)


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


def raise_problem(response: httpx.Response) -> NoReturn:
    """Raise the ApiProblem that an unsuccessful answer holds, or CliError for any other."""
    error = error_of(response)
    if isinstance(error, ApiError):
        raise ApiProblem(error.status, error.code, error.message)
    raise CliError(str(error))


def _json_of(content: bytes) -> Any:
    return json.loads(content) if content else None
