"""Commands on imports, and on embeddings that come and go as files."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer

from models.whole_file import whole_file
from service.cli.batch import failures_of, note_of
from service.cli.client import Client, connect, raise_problem
from service.cli.options import FilterOption, Key, Limit, Url, read_settings, target
from service.cli.output import CliError, clock, console, print_table, size
from service.exchange.service import FileFormat
from service.filtering.parsing import parse_filter_text

SHOWN_FAILURES = 20
_FORMATS: dict[str, FileFormat] = {".parquet": "parquet", ".npz": "npz"}

ImportId = Annotated[str, typer.Argument(help="The import's id, as `muquery imports list` shows.")]


def register(program: typer.Typer) -> None:
    group = typer.Typer(name="imports", help="Batches of files.", no_args_is_help=True)
    group.command("list")(list_imports)
    group.command("show")(show_import)
    for name, text in (
        ("pause", "Take in and analyse nothing more for now."),
        ("resume", "Go on with a paused import."),
        ("cancel", "End it; what is analysed stays."),
    ):
        group.command(name, help=text)(_action(name))
    group.command("retry")(retry_import)
    program.add_typer(group)
    program.command("export")(export)
    program.command("import-embeddings")(import_embeddings)


def list_imports(
    state: Annotated[str | None, typer.Option(help="running, paused, done or cancelled.")] = None,
    limit: Limit = 20,
    url: Url = None,
    key: Key = None,
) -> None:
    """List imports, newest first."""
    page = asyncio.run(_call(lambda c: c.get("/imports", state=state, limit=limit), url, key))
    print_table(
        ("Id", "Name", "State", "Files", "Done", "Failed", "Left"),
        (
            (
                each["id"],
                each["name"] or each["folder"],
                each["state"],
                each["total_files"],
                each["counts"]["done"] + each["counts"]["duplicate"],
                each["counts"]["failed"],
                clock(each["eta_s"]),
            )
            for each in page["items"]
        ),
    )


def show_import(import_id: ImportId, url: Url = None, key: Key = None) -> None:
    """Show one import: how far it is, what failed and why, what its webhook was told."""

    async def read(client: Client) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        found = await client.get(f"/imports/{import_id}")
        return found, await failures_of(client, import_id)

    found, failures = asyncio.run(_call(read, url, key))
    print_table(("", ""), _facts(found))
    if failures:
        print_table(("File", "Reason"), failures[:SHOWN_FAILURES])
    if len(failures) > SHOWN_FAILURES:
        console().print(f"{len(failures) - SHOWN_FAILURES} more failed.", highlight=False)


def retry_import(import_id: ImportId, url: Url = None, key: Key = None) -> None:
    """Try the failed files again."""
    result = asyncio.run(_call(lambda c: c.post(f"/imports/{import_id}/retry"), url, key))
    console().print(f"{result['retried']} files are tried again.", highlight=False)
    if result["needs_upload"]:
        console().print(
            f"{result['needs_upload']} must be sent again: run `muquery add` once more.",
            highlight=False,
        )


def export(
    path: Annotated[Path, typer.Argument(help="A new file; its suffix names the format.")],
    filter_: FilterOption = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """Write the embeddings of the library, or of some tracks, to a .parquet or .npz file."""
    file_format = _FORMATS.get(path.suffix)
    if file_format is None:
        raise CliError("the file's name must end in .parquet or .npz")

    async def save(client: Client) -> None:
        await _check_filter(client, filter_)
        with whole_file(path) as part:
            await _download(client, file_format, filter_, part)

    asyncio.run(_call(save, url, key))
    console().print(f"{path}: {size(path.stat().st_size)}", highlight=False)


def import_embeddings(
    path: Annotated[Path, typer.Argument(help="What `muquery export` wrote.", exists=True)],
    url: Url = None,
    key: Key = None,
) -> None:
    """Take in embeddings of the same model; files with the same bytes need no analysis then."""

    async def send(client: Client) -> Any:
        return await client.post("/embeddings/import", files={"file": path}, unhurried=True)

    result = asyncio.run(_call(send, url, key))
    console().print(
        f"{result['read']} tracks read: {result['known']} known, {result['attached']} attached, "
        f"{result['waiting']} wait for their file.",
        highlight=False,
    )


def _action(name: str) -> Any:
    def act(import_id: ImportId, url: Url = None, key: Key = None) -> None:
        found = asyncio.run(_call(lambda c: c.post(f"/imports/{import_id}/{name}"), url, key))
        console().print(f"{found['id']}: {found['state']}", highlight=False)

    return act


async def _call(work: Any, url: str | None, key: str | None) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        return await work(client)


async def _check_filter(client: Client, filter_: str | None) -> None:
    """Complain of a filter that lets nothing through, instead of writing an empty file."""
    if filter_ is None:
        return
    found = await client.get("/tracks", filter=filter_, state="ready", limit=1)
    if found["total"] == 0:
        raise CliError("no analysed track passes this filter")


async def _download(
    client: Client, file_format: FileFormat, filter_: str | None, part: Path
) -> None:
    if client.services is not None:  # in this process a response would be held in memory whole
        wanted = None if filter_ is None else parse_filter_text(filter_)
        chunks = client.services.exchange.export(file_format, wanted)
        await asyncio.to_thread(_write, chunks, part)
        return
    params = {"format": file_format} | ({} if filter_ is None else {"filter": filter_})
    async with client.http.stream("GET", "/export", params=params) as response:
        if not response.is_success:
            await response.aread()
            raise_problem(response)
        with part.open("wb") as file:
            async for chunk in response.aiter_bytes():
                file.write(chunk)


def _write(chunks: Any, part: Path) -> None:
    with part.open("wb") as file:
        for chunk in chunks:
            file.write(chunk)


def _facts(found: dict[str, Any]) -> list[tuple[str, object]]:
    counts = ", ".join(f"{count} {state}" for state, count in found["counts"].items() if count)
    facts: list[tuple[str, object]] = [
        ("id", found["id"]),
        ("name", found["name"]),
        ("from", found["folder"] or "uploads"),
        ("state", found["state"]),
        ("files", f"{found['total_files']}: {counts}" if counts else found["total_files"]),
        ("ignored", found["ignored_files"]),
        ("audio", clock(found["audio_s"])),
        ("worked", clock(found["active_s"])),
        ("now", note_of(found) or None),
    ]
    if found["webhook"]:
        facts.append(("webhook", found["webhook"]["url"]))
        for delivery in found["webhook"]["deliveries"]:
            told = ", ".join(str(each["status"] or each["error"]) for each in delivery["log"])
            facts.append(("told", f"{delivery['state']} ({told or 'not tried yet'})"))
    return facts
