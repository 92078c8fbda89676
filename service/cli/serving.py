"""Commands that stay: serve and worker."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from typing import TYPE_CHECKING, Annotated

import typer
import uvicorn

from service.cli.client import services_of, upgrade_database
from service.cli.options import read_settings
from service.cli.output import CliError, console
from service.settings import Settings

if TYPE_CHECKING:
    from service.runtime import Services

GRACE_S = 15
LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"


def register(program: typer.Typer) -> None:
    program.command()(serve)
    program.command()(worker)


def serve(
    host: Annotated[str | None, typer.Option(help="Address to bind to.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one.")] = None,
) -> None:
    """Serve the page and the API, and analyse what is uploaded (unless MUQUERY_WORKER=off)."""
    settings = read_settings(host=host, port=port)
    start_logging(settings)
    upgrade_database(settings)
    services = services_of(settings)
    try:
        services.access.check_bind(services.database)
        _listen(settings, services)
    finally:
        # The application has done so where it was started; a second time does no harm.
        services.database.dispose()


def _listen(settings: Settings, services: Services) -> None:
    from service.api.app import create_app

    listener = bind(settings)
    app = create_app(settings, services)
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # Ours knows which proxies to trust; uvicorn's would believe anyone on this machine.
        proxy_headers=False,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
    )
    server = Server(config, address_of(settings.host, listener), app.state.events.close)
    try:
        server.run(sockets=[listener])
    except KeyboardInterrupt:
        return  # uvicorn hands the signal on after it has stopped in order
    finally:
        listener.close()
    if not server.started:
        raise CliError("the service could not start; the log says why")


def worker() -> None:
    """Analyse uploads in a process of its own; any number may run beside `muquery serve`."""
    settings = read_settings()
    start_logging(settings)
    upgrade_database(settings)
    services = services_of(settings)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: services.ask_to_stop())
    console().print(f"working as {services.worker.owner}; stop with Ctrl-C", highlight=False)
    _work(services)


def _work(services: Services) -> None:
    services.follower.start(searches=False)
    services.arrive("worker")
    try:
        services.encoder.wait()
    except Exception as error:
        services.leave(f"the model could not be loaded: {services.encoder.failure}")
        raise CliError(f"the model cannot be loaded: {error}") from error
    services.start_batches()
    try:
        services.worker.run()
    finally:
        services.stop_batches()
        services.leave()
        services.follower.stop()
        services.database.dispose()


class Server(uvicorn.Server):
    """uvicorn that says where it listens, and ends event streams before it waits for them."""

    def __init__(self, config: uvicorn.Config, address: str, end_streams: object) -> None:
        super().__init__(config)
        self._address = address
        self._end_streams = end_streams

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self.started and not self.should_exit:
            print_welcome(self._address)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        assert callable(self._end_streams)
        closing = self._end_streams()
        if asyncio.iscoroutine(closing):
            await closing
        await super().shutdown(sockets=sockets)


def bind(settings: Settings) -> socket.socket:
    """A bound socket; CliError where the address is taken or not ours."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM
        )[0]
        listener = socket.socket(family, kind, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
        except OSError:
            listener.close()
            raise
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        reason = error.strerror or "the name is not known"
        raise CliError(f"cannot listen on {where}: {reason}; try --port 0") from None
    return listener


def address_of(host: str, listener: socket.socket) -> str:
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listener.getsockname()[1]}"


def print_welcome(address: str) -> None:
    out = console()
    out.print(f"\nmuquery listens on {address}", style="bold", highlight=False)
    out.print(
        "Open it in a browser, or try:\n"
        '  muquery search "calm solo piano"\n'
        "  muquery add ~/Music\n"
        f'  curl "{address}/api/v1/search?q=calm+solo+piano"\n'
        "Stop with Ctrl-C.\n",
        highlight=False,
        markup=False,
        soft_wrap=True,
    )


def start_logging(settings: Settings) -> None:
    logging.basicConfig(level=settings.log_level.upper(), format=LOG_FORMAT)
    for name in ("uvicorn.error", "uvicorn", "httpx", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
