"""Commands that ask the model: search and tag."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.client import connect
from service.cli.options import Key, Limit, Url, read_settings, target
from service.cli.output import CliError, error_console, percent, print_table, span


def register(program: typer.Typer) -> None:
    program.command()(search)
    program.command()(tag)


def search(
    text: Annotated[str, typer.Argument(help="What the music sounds like.")],
    without: Annotated[
        list[str] | None, typer.Option("--without", help="What it should not sound like.")
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option("--like", help="Id of a track that it should resemble.")
    ] = None,
    limit: Limit = 10,
    min_relevance: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave out hits below this.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Tracks that sound like a sentence, and the seconds of them that do."""
    query: list[dict[str, Any]] = [{"text": text}]
    query += [{"text": unwanted, "weight": -0.5} for unwanted in without or []]
    query += [{"track_id": track_id} for track_id in like or []]
    wanted = {"query": query, "limit": limit, "min_relevance": min_relevance}
    answer = asyncio.run(_post_json("/search", wanted, url, key))
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    _warn(answer)
    if not answer["items"]:
        error_console().print("nothing in the library matches")
        return
    print_table(
        ("", "Track", "Artist", "Relevance", "Passages", "Id"),
        (
            (
                hit["rank"],
                hit["track"]["title"] or hit["track"]["filename"],
                hit["track"]["artist"],
                percent(hit["relevance"]),
                "  ".join(span(passage) for passage in hit["passages"]),
                hit["track"]["id"],
            )
            for hit in answer["items"]
        ),
    )


def tag(
    file: Annotated[Path, typer.Argument(help="An audio file; it is not kept.")],
    labels: Annotated[list[str], typer.Argument(help="Labels that may fit it.")],
    template: Annotated[
        list[str] | None, typer.Option(help="A sentence around {label}; may be given again.")
    ] = None,
    url: Url = None,
    key: Key = None,
) -> None:
    """How well labels fit a file."""
    if not file.is_file():
        raise CliError(f"there is no file {file}")
    options = json.dumps({"labels": labels, "templates": template or []})
    answer = asyncio.run(_post_file("/tags/audio", file, options, url, key))
    _warn(answer)
    print_table(
        ("Label", "Probability", "Relevance", "Score"),
        (
            (
                item["label"],
                percent(item["probability"]),
                percent(item["relevance"]),
                f"{item['score']:.3f}",
            )
            for item in answer["items"]
        ),
    )


async def _post_json(path: str, content: Any, url: str | None, key: str | None) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        return await client.post(path, json=content)


async def _post_file(path: str, file: Path, options: str, url: str | None, key: str | None) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        content = await asyncio.to_thread(file.read_bytes)
        files = {"file": (file.name, content, "application/octet-stream")}
        return await client.post(path, files=files, data={"options": options})


def _warn(answer: dict[str, Any]) -> None:
    for warning in answer["warnings"]:
        error_console().print(f"note: {warning}", markup=False, highlight=False)
