"""The command that searches."""

from __future__ import annotations

import asyncio
import json
from enum import StrEnum
from typing import Annotated, Any

import typer

from service.cli.client import connect
from service.cli.options import FilterOption, Key, Limit, Url, read_settings, target
from service.cli.output import CliError, error_console, percent, print_table, span


class Mode(StrEnum):
    """What a search goes by."""

    SEMANTIC = "semantic"
    KEYWORD = "keyword"
    HYBRID = "hybrid"


def register(program: typer.Typer) -> None:
    program.command()(search)


def search(
    text: Annotated[str, typer.Argument(help="What the music sounds like.")],
    without: Annotated[
        list[str] | None, typer.Option("--without", help="What it should not sound like.")
    ] = None,
    like: Annotated[
        list[str] | None, typer.Option("--like", help="Id of a track that it should resemble.")
    ] = None,
    filter_: FilterOption = None,
    limit: Limit = 10,
    min_relevance: Annotated[
        float | None, typer.Option(min=0, max=1, help="Leave out hits below this.")
    ] = None,
    mode: Annotated[
        Mode, typer.Option(help="Find by sound, by the words of titles and tags, or by both.")
    ] = Mode.SEMANTIC,
    max_per_artist: Annotated[
        int | None, typer.Option(min=1, max=100, help="At most so many tracks of one artist.")
    ] = None,
    collapse: Annotated[
        bool, typer.Option("--collapse", help="Show one of several copies of a recording.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Tracks that sound like a sentence, and the seconds of them that do."""
    query: list[dict[str, Any]] = [{"text": text}]
    query += [{"text": unwanted, "weight": -1.0} for unwanted in without or []]
    query += [{"track_id": track_id} for track_id in like or []]
    wanted: dict[str, Any] = {
        "query": query,
        "limit": limit,
        "min_relevance": min_relevance,
        "mode": mode.value,
        "max_per": {"artist": max_per_artist},
        "collapse_duplicates": collapse,
    }
    if filter_ is not None:
        wanted["filter"] = _decoded(filter_)
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


def _decoded(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise CliError("--filter is not JSON") from None


async def _post_json(path: str, content: Any, url: str | None, key: str | None) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        return await client.post(path, json=content)


def _warn(answer: dict[str, Any]) -> None:
    if answer["match"] == "weak":
        error_console().print("note: nothing comes close; these are the nearest")
    for warning in answer["warnings"]:
        error_console().print(f"note: {warning}", markup=False, highlight=False)
