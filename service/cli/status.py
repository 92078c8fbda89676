"""`muquery status`: whether the service answers, who works, and what waits."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from typing import Annotated, Any

import httpx
import typer

from muquery.client.sending import PREFIX
from service.cli.client import Client, connect
from service.cli.options import Key, Url, read_settings, target
from service.cli.output import EXIT_FAILED, CliError, console, error_console, print_table


def register(program: typer.Typer) -> None:
    program.command()(status)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answers.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Say whether the service is ready, who works and what waits; fails where that is not well."""
    found = asyncio.run(_look(url, key))
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print(found)
    if found["health"]["status"] != "ok" or found["workers"]["problem"]:
        raise typer.Exit(EXIT_FAILED)


async def _look(url: str | None, key: str | None) -> dict[str, Any]:
    async with connect(target(url, key), read_settings()) as client:
        health = await _health(client)
        workers = await client.get("/workers")
        jobs = await client.get("/jobs", limit=1)
        where = None if client.in_process else str(client.http.base_url).removesuffix(f"{PREFIX}/")
        return {"url": where, "health": health, "workers": workers, "jobs": jobs["counts"]}


async def _health(client: Client) -> dict[str, Any]:
    """Asked once, because 503 with its reasons is an answer here and nothing to wait for."""
    try:
        answer = await client.http.get("/health/ready")
        health: dict[str, Any] = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        raise CliError(f"the service does not say how it is: {error}") from None
    return health


def _print(found: dict[str, Any]) -> None:
    health, workers, jobs, out = found["health"], found["workers"], found["jobs"], console()
    if found["url"] is None:
        out.print("No service answers here; its database and files say:")
    else:
        told = f"muquery {health['version']} at {found['url']}: {health['status']}"
        out.print(told, highlight=False)
    for name, said in health["checks"].items():
        if said != "ok":
            out.print(f"  {name}: {said}", highlight=False, markup=False)
    counts = ", ".join(f"{count} {state}" for state, count in jobs.items())
    out.print(f"jobs: {counts}", highlight=False)
    if workers["items"]:
        print_table(
            ("Worker", "State", "Seen", "Models", "Doing", "Problem"),
            (_row(each) for each in workers["items"]),
        )
    if workers["problem"]:
        said = workers["problem"]["message"]
        error_console().print(said, highlight=False, markup=False, soft_wrap=True)


def _row(worker: dict[str, Any]) -> tuple[object, ...]:
    models = ", ".join(worker["model_ids"]) or None
    doing = worker["job_id"]
    return worker["id"], worker["state"], _ago(worker["seen_at"]), models, doing, worker["problem"]


def _ago(instant: str) -> str:
    seconds = int((datetime.now(UTC) - datetime.fromisoformat(instant)).total_seconds())
    if seconds < 120:
        return f"{max(seconds, 0)} s ago"
    return f"{seconds // 60} min ago" if seconds < 7200 else f"{seconds // 3600} h ago"
