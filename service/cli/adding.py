"""`muquery add`: files and folders into the library as one import, skipping what is there already.

The import carries a reference made of the paths, so that the same command after an interruption
goes on with the same import. Each file is hashed first and looked up by its hash, so that nothing
is sent twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import socket
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.progress import Progress

from models.checksum import file_sha256
from service.cli.batch import all_items, failures_of, progress_bar, wait_for_end
from service.cli.client import ApiProblem, Client
from service.cli.output import CliError
from service.imports.folders import is_audio_name

UPLOADS_AT_ONCE = 2
_PATH_CHARS = 1000


@dataclass
class AddReport:
    """What became of each file; `failures` hold a name and a reason."""

    import_id: str | None = None
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
        if is_audio_name(path.name) and not hidden and path.is_file():
            yield path


def reference_of(paths: Iterable[Path]) -> str:
    """The same for the same paths of the same machine, in whatever order they are given."""
    absolute = sorted(str(path.resolve()) for path in paths)
    digest = hashlib.sha256("\n".join([socket.gethostname(), *absolute]).encode(errors="replace"))
    return f"add-{digest.hexdigest()[:32]}"


async def add_files(
    client: Client, files: list[Path], *, reference: str, name: str, wait: bool
) -> AddReport:
    """Upload what is not there yet and, if asked, wait until all of it can be searched."""
    with progress_bar() as progress:
        adding = _Adding(client, reference, name)
        await adding.resume()
        await adding.send_all(files, progress)
        return await adding.end(progress, wait=wait)


async def add_folders(client: Client, paths: list[Path], *, wait: bool) -> list[dict[str, Any]]:
    """Let the server take in folders of its own; the imports, ended if `wait`."""
    started = [
        await client.post(
            "/imports",
            json={"source": "folder", "folder": str(path), "reference": reference_of([path])},
        )
        for path in paths
    ]
    if not wait:
        return started
    with progress_bar() as progress:
        return [await wait_for_end(client, each["id"], progress) for each in started]


class _Adding:
    """One run of the command; the import is made when there is a first file to send."""

    def __init__(self, client: Client, reference: str, name: str) -> None:
        self._client = client
        self._reference = reference
        self._name = name
        self._making = asyncio.Lock()
        self._sent_before: set[str] = set()
        self._report = AddReport()

    async def resume(self) -> None:
        """Find the import that an interrupted run left open."""
        page = await self._client.get(
            "/imports", reference=self._reference, state="running", limit=1
        )
        for found in page["items"]:
            if not found["listed"]:
                self._report.import_id = found["id"]
                async for item in all_items(self._client, found["id"]):
                    if item["state"] != "failed":
                        self._sent_before.add(item["path"])

    async def send_all(self, files: list[Path], progress: Progress) -> None:
        task = progress.add_task("uploading", total=len(files), note="")
        waiting = iter(files)

        async def send() -> None:
            for path in waiting:
                await self._add_one(path)
                progress.advance(task)

        await asyncio.gather(*(send() for _ in range(UPLOADS_AT_ONCE)))

    async def end(self, progress: Progress, *, wait: bool) -> AddReport:
        report = self._report
        if report.import_id is None:
            return report
        await self._client.post(f"/imports/{report.import_id}/close")
        if wait:
            ended = await wait_for_end(self._client, report.import_id, progress)
            report.analysed = ended["counts"]["done"]
            report.known += ended["counts"]["duplicate"]
            report.failures += await failures_of(self._client, report.import_id)
        return report

    async def _import_id(self) -> str:
        async with self._making:
            if self._report.import_id is None:
                wanted = {"source": "upload", "reference": self._reference, "name": self._name}
                self._report.import_id = (await self._client.post("/imports", json=wanted))["id"]
            return self._report.import_id

    async def _add_one(self, path: Path) -> None:
        shown = shown_path(path)
        if shown in self._sent_before:
            self._report.added += 1
            return
        try:
            digest = await asyncio.to_thread(file_sha256, path)
            known = (await self._client.get("/tracks", sha256=digest))["items"]
            if known:
                self._note_known(path, known[0])
                return
            await self._send(path, shown)
        except OSError as error:
            self._report.failures.append((str(path), error.strerror or "cannot be read"))

    async def _send(self, path: Path, shown: str) -> None:
        import_id = await self._import_id()
        try:
            result = await self._client.post(
                "/tracks", params={"import_id": import_id, "path": shown}, files={"file": path}
            )
        except ApiProblem as problem:
            if problem.status in (401, 403, 404, 409):
                raise  # the import was closed or taken away: nothing more can be sent
            return  # the import has noted why
        self._report.added += result["job"] is not None

    def _note_known(self, path: Path, track: dict[str, str]) -> None:
        if track["state"] == "failed":
            reason = track["error_message"] or "its analysis failed before"
            self._report.failures.append((str(path), reason))
        else:
            self._report.known += 1


def shown_path(path: Path) -> str:
    """The path as the import knows it: text, and not longer than it takes."""
    return str(path).encode("utf-8", "replace").decode()[-_PATH_CHARS:]
