"""`muquery evaluate library`: how well the search of a library finds what its owner says is right.

Legend: N ready tracks of the library.
"""

from __future__ import annotations

import asyncio
import csv
import importlib.util
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from models.training.evaluation.ranking import QueryLine, QueryTable, line_of, table_of
from service.cli.client import ApiProblem, Client, connect
from service.cli.options import Key, Url, read_settings, target
from service.cli.output import CliError, error_console, print_table

PAGE = 100
MEASURES = {"recall_1": "R@1", "recall_5": "R@5", "recall_10": "R@10", "mrr": "MRR"}


@dataclass(frozen=True)
class Judgement:
    """A query, and the tracks that are right for it, as the owner names them."""

    query: str
    right: tuple[str, ...]


def register(program: typer.Typer) -> None:
    program.command("library")(library)


def library(
    queries: Annotated[Path, typer.Option(help="CSV with the columns query and track.")],
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("evaluation"),
    mode: Annotated[str, typer.Option(help="semantic, keyword or hybrid.")] = "semantic",
    depth: Annotated[
        int, typer.Option(min=10, help="Ranks beyond this are not looked for.")
    ] = 1000,
    url: Url = None,
    key: Key = None,
) -> None:
    """Recall, reciprocal and median rank of your own queries in your own library.

    QUERIES names a right track per line by id, file name or title; a query may have several lines.
    """
    if mode not in ("semantic", "keyword", "hybrid"):
        raise CliError(f"there is no mode {mode!r}: semantic, keyword or hybrid")
    judgements = read_judgements(queries)
    table = asyncio.run(_judge(judgements, mode, depth, url, key))
    write_library_report(table, out, depth)
    rows = [
        (name, f"{found.value:.3f}", f"{found.low:.3f} to {found.high:.3f}", f"{found.chance:.3f}")
        for measure, name in MEASURES.items()
        for found in [table.measures[measure].bundle]
    ]
    print_table(("Measure", "Value", "95 % interval", "Chance"), rows)
    missed = sum(line.rank > depth for line in table.lines)
    typer.echo(f"median rank {table.median_rank:g}; {missed} not among the first {depth}")
    typer.echo(f"written to {out}")


def read_judgements(path: Path) -> list[Judgement]:
    """Read the CSV; CliError names the line that lacks something."""
    if not path.is_file():
        raise CliError(f"there is no file {path}")
    right: dict[str, list[str]] = {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        if not {"query", "track"} <= set(reader.fieldnames or ()):
            raise CliError(f"{path} needs the columns query and track in its first line")
        for row in reader:
            query, track = (row["query"] or "").strip(), (row["track"] or "").strip()
            if not query or not track:
                raise CliError(f"{path}, line {reader.line_num}: a query and a track are needed")
            right.setdefault(query, []).append(track)
    if not right:
        raise CliError(f"{path} holds no queries")
    return [Judgement(query, tuple(tracks)) for query, tracks in right.items()]


def write_library_report(table: QueryTable, folder: Path, depth: int) -> None:
    """Write library.json, and library.png where the drawing library is installed."""
    folder.mkdir(parents=True, exist_ok=True)
    content = json.dumps({"depth": depth, **asdict(table)}, indent=1, ensure_ascii=False)
    (folder / "library.json").write_text(content + "\n", encoding="utf-8")
    if importlib.util.find_spec("matplotlib") is None:
        error_console().print("no PNG: drawing needs pip install 'muquery[train]'", markup=False)
        return
    from models.training.plots import plot_intervals

    found = [table.measures[measure].bundle for measure in MEASURES]
    plot_intervals(
        list(MEASURES.values()),
        [(i.value, i.low, i.high) for i in found],
        [i.chance for i in found],
        f"{len(table.lines)} queries",
        folder / "library.png",
    )


async def _judge(
    judgements: Sequence[Judgement], mode: str, depth: int, url: str | None, key: str | None
) -> QueryTable:
    async with connect(target(url, key), read_settings()) as client:
        tracks = await _count_ready(client)
        if tracks < 2:
            raise CliError("the library needs at least two tracks that are ready")
        known: dict[str, str] = {}
        lines = []
        for judgement in judgements:
            for name in judgement.right:
                if name not in known:
                    known[name] = await _find_track(client, name)
            right = {known[name] for name in judgement.right}
            lines.append(await _ask(client, judgement.query, right, mode, depth, tracks))
        return table_of("library", mode, lines)


async def _ask(
    client: Client, query: str, right: set[str], mode: str, depth: int, tracks: int
) -> QueryLine:
    """Search page by page until a right track comes."""
    wanted = {"query": [{"text": query}], "mode": mode, "limit": PAGE, "passages": 0}
    first, rank, cursor = "", 0, None
    while rank < depth:
        answer: dict[str, Any] = await client.post("/search", json={**wanted, "cursor": cursor})
        for hit in answer["items"]:
            rank += 1
            first = first or hit["track"]["id"]
            if hit["track"]["id"] in right and rank <= depth:
                return line_of(query, len(right), tracks, rank, hit["track"]["id"], first)
        cursor = answer["next_cursor"]
        if cursor is None:
            break
    # What was not found ranks behind everything, so that it earns nothing anywhere.
    return line_of(query, len(right), tracks, max(tracks, depth) + 1, "", first)


async def _find_track(client: Client, name: str) -> str:
    """The id of the track with this id, file name or title; CliError where there is not one."""
    try:
        track: dict[str, Any] = await client.get(f"/tracks/{name}") if _may_be_id(name) else {}
        if track:
            return str(track["id"])
    except ApiProblem as error:
        if error.status != 404:
            raise
    answer = await client.get("/tracks", q=name, limit=200)
    same = [
        item["id"]
        for item in answer["items"]
        if name.casefold() in {(item["title"] or "").casefold(), item["filename"].casefold()}
    ]
    if len(same) != 1:
        raise CliError(f"{len(same)} tracks of the library are called {name!r}; one is needed")
    return str(same[0])


def _may_be_id(name: str) -> bool:
    return name.isascii() and name.replace("-", "").replace("_", "").isalnum()


async def _count_ready(client: Client) -> int:
    page: dict[str, Any] = await client.get("/tracks", limit=1, state="ready")
    return int(page["total"])
