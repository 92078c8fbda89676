"""Commands that look through the library: list and facets."""

from __future__ import annotations

import asyncio
import json
from typing import Annotated, Any

import typer

from service.cli.client import connect
from service.cli.options import FilterOption, Key, Limit, Url, read_settings, target
from service.cli.output import clock, console, print_table


def register(program: typer.Typer) -> None:
    program.command("list")(list_tracks)
    program.command("tracks", hidden=True)(list_tracks)
    program.command()(facets)


def list_tracks(
    text: Annotated[
        str | None, typer.Argument(help="In title, artist, album or file name.")
    ] = None,
    filter_: FilterOption = None,
    state: Annotated[str | None, typer.Option(help="pending, ready or failed.")] = None,
    sort: Annotated[
        str,
        typer.Option(
            help="added_at, title, artist, album, genre, year or duration_s; with a minus it falls."
        ),
    ] = "-added_at",
    limit: Limit = 50,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """List the library, or the tracks of it that a filter lets through."""
    wanted = {"q": text, "state": state, "filter": filter_, "sort": sort, "limit": limit}
    page = asyncio.run(_get("/tracks", url, key, **wanted))
    if as_json:
        typer.echo(json.dumps(page, indent=2, ensure_ascii=False))
        return
    reasons = ("Reason",) if any(track["error_message"] for track in page["items"]) else ()
    print_table(
        ("Id", "Title", "Artist", "Length", "State", *reasons),
        (
            (
                track["id"],
                track["title"] or track["filename"],
                track["artist"],
                clock(track["duration_s"]),
                track["state"],
                *(track["error_message"] for _ in reasons),
            )
            for track in page["items"]
        ),
    )
    if len(page["items"]) < page["total"]:
        console().print(f"{len(page['items'])} of {page['total']} shown.", highlight=False)


def facets(
    fields: Annotated[
        list[str] | None,
        typer.Argument(help="genre, year, extra.<key>, tags.<group>, … Without any: which exist."),
    ] = None,
    filter_: FilterOption = None,
    limit: Annotated[int, typer.Option(min=1, max=500, help="Values of each field.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Which values fields have, and how many tracks have each."""
    if not fields:
        answer = asyncio.run(_get("/fields", url, key))
    else:
        wanted = {"field": fields, "filter": filter_, "limit": limit}
        answer = asyncio.run(_get("/facets", url, key, **wanted))
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif fields:
        _print_facets(answer["items"])
    else:
        _print_fields(answer["items"])


def _print_facets(items: list[dict[str, Any]]) -> None:
    rows: list[tuple[object, object, object]] = []
    for facet in items:
        rows += [(facet["field"], _shown(item["value"]), item["count"]) for item in facet["values"]]
        if facet["min"] is not None:
            rows.append((facet["field"], f"from {facet['min']} to {facet['max']}", None))
        if facet["other"]:
            rows.append((facet["field"], "(other values)", facet["other"]))
        if facet["missing"]:
            rows.append((facet["field"], "(no value)", facet["missing"]))
    print_table(("Field", "Value", "Tracks"), rows)


def _shown(value: object) -> object:
    return json.dumps(value) if isinstance(value, bool) else value


def _print_fields(items: list[dict[str, Any]]) -> None:
    print_table(
        ("Field", "Values", "Ask by", "Tracks"),
        (
            (item["name"], ", ".join(item["types"]), ", ".join(item["operators"]), item["tracks"])
            for item in items
        ),
    )


async def _get(path: str, url: str | None, key: str | None, **params: Any) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        return await client.get(path, **params)
