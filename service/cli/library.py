"""Commands on the library: add, jobs."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.adding import AddReport, add_files, add_folders, find_files, reference_of
from service.cli.batch import failures_of
from service.cli.client import Client, connect
from service.cli.options import Key, Limit, Url, read_settings, target
from service.cli.output import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    CliError,
    console,
    error_console,
    percent,
    print_table,
)


def register(program: typer.Typer) -> None:
    program.command()(add)
    program.command()(jobs)


def add(
    paths: Annotated[list[Path], typer.Argument(help="Audio files, and folders of them.")],
    url: Url = None,
    key: Key = None,
    wait: Annotated[
        bool, typer.Option(help="Wait until everything was analysed and can be found.")
    ] = True,
    name: Annotated[str | None, typer.Option(help="What to call the import.")] = None,
    on_server: Annotated[
        bool, typer.Option(help="The paths are folders of the server, which it reads itself.")
    ] = False,
) -> None:
    """Add files and folders; after an interruption the same command goes on."""
    try:
        report = asyncio.run(_add(paths, url, key, name=name, wait=wait, on_server=on_server))
    except KeyboardInterrupt:
        error_console().print("\nInterrupted; the same command goes on.", highlight=False)
        raise typer.Exit(EXIT_INTERRUPTED) from None
    console().print(_summary(report), highlight=False)
    if not wait and report.import_id:
        console().print(f"See: muquery imports show {report.import_id}", highlight=False)
    if report.failures:
        print_table(("File", "Reason"), report.failures)
        raise typer.Exit(EXIT_FAILED)


async def _add(
    paths: list[Path],
    url: str | None,
    key: str | None,
    *,
    name: str | None,
    wait: bool,
    on_server: bool,
) -> AddReport:
    files = [] if on_server else find_files(paths)
    if not files and not on_server:
        raise CliError("there are no audio files in these folders")
    settings = read_settings()
    async with connect(target(url, key), settings, works=True) as client:
        await client.get("/models")  # ends when the model is there to name the jobs' model
        # What this process would run dies with it, so there it always waits.
        waits = wait or client.in_process
        if on_server:
            return await _add_on_server(client, paths, wait=waits)
        named = name or ", ".join(path.name or str(path) for path in paths)[:200]
        reference = reference_of(paths)
        return await add_files(client, files, reference=reference, name=named, wait=waits)


async def _add_on_server(client: Client, paths: list[Path], *, wait: bool) -> AddReport:
    report = AddReport()
    for found in await add_folders(client, paths, wait=wait):
        counts = found["counts"]
        report.import_id = found["id"]
        report.added += counts["done"] + counts["queued"]
        report.analysed += counts["done"]
        report.known += counts["duplicate"]
        report.failures += await failures_of(client, found["id"])
    return report


def _summary(report: AddReport) -> str:
    parts = [f"{report.added} added"]
    if report.analysed:
        parts.append(f"{report.analysed} analysed")
    parts.append(f"{report.known} already there")
    if report.failures:
        parts.append(f"{len(report.failures)} failed")
    return ", ".join(parts) + "."


def jobs(
    state: Annotated[
        str | None, typer.Option(help="queued, running, done, failed or cancelled.")
    ] = None,
    limit: Limit = 50,
    url: Url = None,
    key: Key = None,
) -> None:
    """List jobs, newest first."""
    page = asyncio.run(_get("/jobs", url, key, state=state, limit=limit))
    print_table(
        ("Id", "Track", "State", "Progress", "Reason"),
        (
            (
                job["id"],
                job["track_title"] or job["track_id"],
                job["state"],
                percent(job["progress"]),
                job["error_message"],
            )
            for job in page["items"]
        ),
    )
    _print_rest(page)


async def _get(path: str, url: str | None, key: str | None, **params: Any) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        return await client.get(path, **params)


def _print_rest(page: dict[str, Any]) -> None:
    shown, total = len(page["items"]), page["total"]
    if shown < total:
        console().print(f"{shown} of {total} shown.", highlight=False)
