"""`muquery add`: files and folders into the library, skipping what is there already.

Each file is hashed first and looked up by its hash, so that a run that was interrupted goes on
where it stopped without sending anything twice.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from service.cli.client import ApiProblem, Client
from service.cli.output import CliError, error_console

AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".mp4"}
    | {".oga", ".ogg", ".opus", ".w64", ".wav", ".weba", ".webm", ".wma"}
)
UPLOADS_AT_ONCE = 2
POLL_S = 0.5
POLLED_AT_ONCE = 20
_ENDED = ("done", "failed", "cancelled")


@dataclass
class AddReport:
    """What became of each file; `failures` hold a name and a reason."""

    added: int = 0
    known: int = 0
    analysed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)


def find_files(paths: Iterable[Path]) -> list[Path]:
    """Files as given, and the audio files of folders, sorted; CliError for a path that is not."""
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            found.update(dict.fromkeys(_audio_files(path)))
        elif path.is_file():
            found[path] = None
        else:
            raise CliError(f"there is no file or folder {path}")
    return list(found)


def _audio_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.suffix.lower() in AUDIO_SUFFIXES and not hidden and path.is_file():
            yield path


async def add_files(client: Client, files: list[Path], *, wait: bool) -> AddReport:
    """Upload what is not there yet and, if asked, wait until all of it can be searched."""
    report = AddReport()
    jobs: dict[str, str] = {}
    with _progress() as progress:
        task = progress.add_task("uploading", total=len(files))
        waiting = iter(files)

        async def send() -> None:
            for path in waiting:
                await _add_one(client, path, report, jobs)
                progress.advance(task)

        await asyncio.gather(*(send() for _ in range(UPLOADS_AT_ONCE)))
        if wait and jobs:
            task = progress.add_task("analysing", total=len(jobs))
            async for _ended in _ended_jobs(client, jobs, report):
                progress.advance(task)
    return report


async def _add_one(client: Client, path: Path, report: AddReport, jobs: dict[str, str]) -> None:
    try:
        digest = await asyncio.to_thread(_sha256, path)
        known = (await client.get("/tracks", sha256=digest))["items"]
        if known:
            _note_known(path, known[0], report)
            return
        async with _opened(path) as file:
            files = {"file": (path.name, file, "application/octet-stream")}
            result = await client.post("/tracks", files=files)
    except ApiProblem as problem:
        if problem.status in (401, 403):
            raise
        report.failures.append((str(path), problem.reason))
        return
    except OSError as error:
        report.failures.append((str(path), error.strerror or "cannot be read"))
        return
    if result["job"] is None:
        report.known += 1
    else:
        report.added += 1
        jobs[result["job"]["id"]] = str(path)


def _note_known(path: Path, track: dict[str, str], report: AddReport) -> None:
    if track["state"] == "failed":
        report.failures.append((str(path), track["error_message"] or "its analysis failed before"))
    else:
        report.known += 1


async def _ended_jobs(
    client: Client, jobs: dict[str, str], report: AddReport
) -> AsyncIterator[str]:
    """Job ids as they end. Jobs run in the order of upload, so the oldest are asked about."""
    open_jobs = dict(jobs)
    while open_jobs:
        ended = 0
        for job_id in list(open_jobs)[:POLLED_AT_ONCE]:
            state, reason = await _job_state(client, job_id)
            if state not in _ENDED:
                continue
            path = open_jobs.pop(job_id)
            if state == "done":
                report.analysed += 1
            else:
                report.failures.append((path, reason or state))
            ended += 1
            yield job_id
        if not ended:
            await asyncio.sleep(POLL_S)


async def _job_state(client: Client, job_id: str) -> tuple[str, str | None]:
    try:
        job = await client.get(f"/jobs/{job_id}")
    except ApiProblem as problem:
        if problem.status == 404:
            return "cancelled", "the track was deleted meanwhile"
        raise
    return job["state"], job["error_message"]


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[object]:
    file = await asyncio.to_thread(path.open, "rb")
    try:
        yield file
    finally:
        file.close()


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description:>10}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=error_console(),
    )
