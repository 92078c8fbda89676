"""Waiting for an import with a progress bar, and telling what became of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from service.cli.client import Client
from service.cli.output import clock, error_console

POLL_S = 0.5
PAGE = 200
_ENDED = ("done", "cancelled")
_OPEN = ("waiting", "queued")


def progress_bar() -> Progress:
    """What all of `muquery add` is shown in: on stderr, so that stdout stays readable."""
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}", markup=False),
        console=error_console(),
    )


async def wait_for_end(client: Client, import_id: str, progress: Progress) -> dict[str, Any]:
    """The import when it has ended; the bar shows files, time left and speed meanwhile."""
    task = progress.add_task("analysing", total=None, note="")
    while True:
        found: dict[str, Any] = await client.get(f"/imports/{import_id}")
        total = found["total_files"]
        left = sum(found["counts"][state] for state in _OPEN)
        progress.update(task, total=total, completed=total - left, note=note_of(found))
        if found["state"] in _ENDED:
            return found
        await asyncio.sleep(POLL_S)


def note_of(found: dict[str, Any]) -> str:
    """Speed and time left in a few words, or why it stands still."""
    if found["state"] == "paused":
        return "paused"
    if found["error_message"]:
        return str(found["error_message"])
    parts = []
    if found["eta_s"]:
        parts.append(f"{clock(found['eta_s'])} left")
    if found["audio_hours_per_hour"]:
        parts.append(f"{found['audio_hours_per_hour']:.0f} h of audio per hour")
    return ", ".join(parts)


async def all_items(
    client: Client, import_id: str, state: str | None = None
) -> AsyncIterator[dict[str, Any]]:
    """Every file of an import, in its order."""
    cursor = None
    while True:
        page = await client.get(
            f"/imports/{import_id}/items", state=state, limit=PAGE, cursor=cursor
        )
        for item in page["items"]:
            yield item
        cursor = page["next_cursor"]
        if cursor is None:
            return


async def failures_of(client: Client, import_id: str) -> list[tuple[str, str]]:
    """Path and reason of each file that failed."""
    return [
        (item["path"], item["error_message"] or item["error_code"])
        async for item in all_items(client, import_id, "failed")
    ]
