"""The command `muquery tag`: labels on a stored track or a file."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.client import Client, connect
from service.cli.options import Key, Url, read_settings, target
from service.cli.output import CliError, clock, error_console, percent, print_table
from service.ids import is_id


def register(program: typer.Typer) -> None:
    program.command()(tag)


def tag(
    track: Annotated[
        str, typer.Argument(help="An audio file, which is not kept, or the id of a track.")
    ],
    labels: Annotated[
        list[str] | None,
        typer.Argument(help="Labels that may fit it; without any, those of a vocabulary."),
    ] = None,
    vocabulary: Annotated[
        str | None, typer.Option(help="A vocabulary's name; by default the default one.")
    ] = None,
    template: Annotated[
        list[str] | None, typer.Option(help="A sentence around {label}; may be given again.")
    ] = None,
    start_s: Annotated[float | None, typer.Option("--start", min=0, help="Second of it.")] = None,
    end_s: Annotated[float | None, typer.Option("--end", min=0, help="Second of it.")] = None,
    timeline: Annotated[bool, typer.Option("--timeline", help="Also along time.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """How well labels fit a track, seconds of it, or a file."""
    if labels and vocabulary:
        raise CliError("give labels or --vocabulary, not both")
    span = {k: v for k, v in (("start_s", start_s), ("end_s", end_s)) if v is not None}
    options: dict[str, Any] = {"timeline": timeline}
    if labels:
        options |= {"labels": labels, "templates": template or []}
    elif template:
        raise CliError("--template belongs to labels")
    answer = asyncio.run(_ask(track, options, vocabulary, span, url, key))
    if as_json:
        typer.echo(json.dumps(answer, indent=2, ensure_ascii=False))
        return
    for warning in answer["warnings"]:
        error_console().print(f"note: {warning}", markup=False, highlight=False)
    _print(answer)


async def _ask(
    track: str,
    options: dict[str, Any],
    vocabulary: str | None,
    span: dict[str, float],
    url: str | None,
    key: str | None,
) -> Any:
    file = Path(track)
    async with connect(target(url, key), read_settings()) as client:
        if "labels" not in options:
            options["vocabulary"] = vocabulary or await _default(client)
        if file.is_file():
            if span:
                raise CliError("--start and --end belong to the id of a track")
            return await _ask_file(client, file, options)
        if not is_id(track):
            raise CliError(f"there is no file {track}, and it is no track's id")
        return await client.post("/tags", json={"track_id": track, **options, **span})


async def _ask_file(client: Client, file: Path, options: dict[str, Any]) -> Any:
    form = {"options": json.dumps(options)}
    return await client.post("/tags/audio", files={"file": file}, form=form)


async def _default(client: Client) -> str:
    found = await client.get("/vocabularies")
    return next(str(each["name"]) for each in found["items"] if each["is_default"])


def _print(answer: dict[str, Any]) -> None:
    named = answer["vocabulary"] is not None
    items = [item for group in answer["groups"] for item in group["items"]]
    columns = ("Label", "Probability", "Relevance", "Score", "Given")
    rows = [
        (
            item["label"],
            percent(item["probability"]),
            percent(item["relevance"]),
            f"{item['score']:.3f}",
            "yes" if item["assigned"] else "weak" if item["weak"] else None,
        )
        for item in items
    ]
    if named:
        columns = ("Group", *columns)  # type: ignore[assignment]
        rows = [(item["group"], *row) for item, row in zip(items, rows, strict=True)]  # type: ignore[misc]
    print_table(columns, rows)
    if answer["timeline"] is not None:
        _print_timeline(answer["timeline"])


def _print_timeline(timeline: dict[str, Any]) -> None:
    """The best label of each passage; --json has all of them."""
    starts_s, ends_s, rows = timeline["starts_s"], timeline["ends_s"], timeline["rows"]
    best = [max(rows, key=lambda row: row["values"][place]) for place in range(len(starts_s))]
    print_table(
        ("Passage", "Best label", timeline["measure"].capitalize()),
        (
            (f"{clock(start_s)}–{clock(end_s)}", row["label"], percent(row["values"][place]))
            for place, (start_s, end_s, row) in enumerate(zip(starts_s, ends_s, best, strict=True))
        ),
    )
