"""Commands that change the model which a library is served with: use, status, cancel, prune."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from models.errors import ModelError
from service.audit import LOCAL, record
from service.cli.client import Client, connect, upgrade_database
from service.cli.options import Key, Url, read_settings, target
from service.cli.output import CliError, clock, console, error_console, print_table
from service.database.engine import opened_database
from service.settings import Settings
from service.switching import registry, switch

POLL_S = 1.0
DEFAULT = "default"

Source = Annotated[
    str, typer.Argument(help=f'A name, a folder, or "{DEFAULT}" for the model that comes along.')
]


def use_model(
    source: Source,
    allow_missing: Annotated[
        bool, typer.Option(help="Change although tracks that failed would have no vectors.")
    ] = False,
    now: Annotated[
        bool,
        typer.Option("--now", help="At once: tracks are not found until they are analysed anew."),
    ] = False,
    wait: Annotated[bool, typer.Option(help="Stay until the change is done.")] = True,
    url: Url = None,
    key: Key = None,
) -> None:
    """Change the library to another model; searches go on under the one in use meanwhile."""
    wanted = None if source == DEFAULT else _whole(source)
    if now:
        if url is not None:
            raise CliError("--now changes the database of this machine; leave --url out")
        _use_now(wanted)
        return
    asyncio.run(_use(wanted, allow_missing, wait, url, key))


def status_of_change(url: Url = None, key: Key = None) -> None:
    """The models that the library knows, and how far a change is."""
    standing = asyncio.run(_request(url, key, "GET", "/models"))
    print_table(
        ("Id", "Name", "State", "Tracks", "Licence", "From"),
        (
            (
                model["model_id"],
                model["name"],
                model["state"],
                model["tracks"],
                model["licence"],
                model["source"] or DEFAULT,
            )
            for model in standing["items"]
        ),
    )
    if standing["change"]:
        console().print(_described(standing["change"]), highlight=False)


def cancel_change(url: Url = None, key: Key = None) -> None:
    """Give up a change that is under way; what it made is kept until it is pruned."""
    asyncio.run(_request(url, key, "DELETE", "/models/next"))
    console().print("the change is given up.", highlight=False)


def prune_models(
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Delete the vectors of every model that is not in use; there is no way back then."""
    asyncio.run(_prune(yes, url, key))


async def _use(
    source: str | None, allow_missing: bool, wait: bool, url: str | None, key: str | None
) -> None:
    async with connect(target(url, key), read_settings(), works=wait) as client:
        model = await client.post("/models", json={"source": source})
        path, params = f"/models/{model['model_id']}/activate", {"allow_missing": allow_missing}
        await client.request("POST", path, params=params)
        if wait:
            await _follow(client, model)
        else:
            console().print(f"changing to {model['name']}; see `muquery model status`.")


async def _follow(client: Client, model: dict[str, Any]) -> None:
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[told]}"))
    with Progress(*columns, console=error_console(), transient=True) as progress:
        task = progress.add_task(f"changing to {model['name']}", total=1.0, told="")
        while not await _is_over(client, model["model_id"], progress, task):
            await asyncio.sleep(POLL_S)
    console().print(
        f"the library is served with {model['name']} ({model['model_id']}).", highlight=False
    )


async def _is_over(client: Client, model_id: str, progress: Progress, task: TaskID) -> bool:
    standing = await client.get("/models")
    change = standing["change"]
    if change is None or change["model_id"] != model_id:
        if any(m["model_id"] == model_id and m["active"] for m in standing["items"]):
            return True
        raise CliError("the change was given up, or another one was begun")
    progress.update(task, completed=change["progress"], told=_told(change))
    if change["problem"]:
        raise CliError(f"the change does not get on: {change['problem']}")
    if change["failed"] and change["done"] + change["failed"] == change["tracks"]:
        raise CliError(
            f"{change['failed']} tracks could not be analysed; `muquery jobs --state failed` says "
            "why, and --allow-missing changes without them"
        )
    return False


async def _prune(yes: bool, url: str | None, key: str | None) -> None:
    async with connect(target(url, key), read_settings()) as client:
        models = (await client.get("/models"))["items"]
        unused = [model for model in models if model["state"] == "unused"]
        if not unused:
            console().print("no model is unused.", highlight=False)
        for model in unused:
            told = f"{model['name']} ({model['model_id']}): vectors of {model['tracks']} tracks"
            if not yes:
                typer.confirm(f"Delete {told}?", abort=True)
            await client.request("DELETE", f"/models/{model['model_id']}")
            console().print(f"deleted {told}.", highlight=False)


async def _request(url: str | None, key: str | None, method: str, path: str) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        return await client.request(method, path)


def _use_now(source: str | None) -> None:
    """Straight in the database, because the model in use may be one that cannot be loaded."""
    from service.runtime import bundle_loader, bundle_of
    from service.serving.first import identity_of

    settings: Settings = read_settings()
    upgrade_database(settings)
    try:
        found = bundle_of(settings, source) or identity_of(bundle_loader(settings)(source), source)
    except ModelError as error:
        raise CliError(str(error)) from None
    with opened_database(settings.resolved_database_url) as database:
        with database.write() as session:
            registry.register(session, found)
            record(session, LOCAL, "activate_model", found.model_id)
        switch.switch_now(database, found.model_id)
    console().print(
        f"the library is served with {found.name} ({found.model_id}) from now on; tracks that it "
        "has not analysed come back one by one.",
        highlight=False,
    )


def _whole(source: str) -> str:
    """A folder by its whole path: the service may run in another one."""
    folder = Path(source)
    return str(folder.resolve()) if folder.is_dir() else source


def _described(change: dict[str, Any]) -> str:
    parts = [f"changing to {change['name']}: {_told(change)}"]
    if change["failed"]:
        parts.append(f"{change['failed']} failed")
    if change["problem"]:
        parts.append(change["problem"])
    return ", ".join(parts)


def _told(change: dict[str, Any]) -> str:
    eta = "" if change["eta_s"] is None else f", {clock(change['eta_s'])} left"
    return f"{change['done']} of {change['tracks']} tracks{eta}"
