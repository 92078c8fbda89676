"""Commands on vocabularies: `muquery vocab ...`."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from service.cli.client import Client, connect
from service.cli.options import Key, Url, read_settings, target
from service.cli.output import CliError, console, error_console, percent, print_table

Name = Annotated[str, typer.Argument(help="The vocabulary's name.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the service's answer.")]
Version = Annotated[int | None, typer.Option(min=1, help="By default the current one.")]


def register(program: typer.Typer) -> None:
    group = typer.Typer(
        name="vocab", help="Vocabularies: labels to tag with.", no_args_is_help=True
    )
    group.command("list")(list_vocabularies)
    group.command("show")(show_vocabulary)
    group.command("set")(set_vocabulary)
    group.command("use")(use_vocabulary)
    group.command("delete")(delete_vocabulary)
    group.command("try")(try_label)
    program.add_typer(group)


def list_vocabularies(url: Url = None, key: Key = None) -> None:
    """List the vocabularies; tracks are tagged with the default one."""
    page = _run(lambda client: client.get("/vocabularies"), url, key)
    print_table(
        ("Name", "Version", "Labels", "Default", "Description"),
        (
            (
                each["name"],
                each["version"],
                each["labels"],
                "yes" if each["is_default"] else None,
                each["description"],
            )
            for each in page["items"]
        ),
    )


def show_vocabulary(
    name: Name,
    version: Version = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print it as `muquery vocab set` takes it.")
    ] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a vocabulary's labels, and how many tracks are tagged with this version."""
    found = _run(lambda client: client.get(f"/vocabularies/{name}", version=version), url, key)
    if as_json:
        _print_json({"description": found["description"], "groups": _lean(found["groups"])})
        return
    newest = found["versions"][0]["version"]
    console().print(
        f"{found['name']}, version {found['version']} of {newest}; "
        f"{found['tagged_tracks']} of {found['tracks']} tracks have its tags.",
        highlight=False,
        markup=False,
    )
    print_table(
        ("Group", "Choice", "Label", "From", "Note"),
        (
            (
                group["name"],
                group["choice"],
                label["label"],
                "never" if label["weak"] else percent(label["threshold"] or group["threshold"]),
                label["note"],
            )
            for group in found["groups"]
            for label in map(_label, group["labels"])
        ),
    )


def set_vocabulary(
    name: Name,
    file: Annotated[str, typer.Argument(help="JSON with groups of labels; - reads stdin.")],
    default: Annotated[
        bool, typer.Option("--default", help="Tag every track with it from now on.")
    ] = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Save a new version of a vocabulary."""
    body = {**_read(file), **({"make_default": True} if default else {})}
    _tell_saved(_run(lambda client: _put(client, name, body), url, key))


def use_vocabulary(name: Name, url: Url = None, key: Key = None) -> None:
    """Tag every track with a stored vocabulary from now on."""

    async def use(client: Client) -> Any:
        found = await client.get(f"/vocabularies/{name}")
        body = {"description": found["description"], "groups": found["groups"]}
        return await _put(client, name, {**body, "make_default": True})

    _tell_saved(_run(use, url, key))


async def _put(client: Client, name: str, body: dict[str, Any]) -> Any:
    return await client.request("PUT", f"/vocabularies/{name}", json=body)


def _tell_saved(saved: dict[str, Any]) -> None:
    vocabulary = saved["vocabulary"]
    what = "saved as" if saved["new_version"] else "is already"
    console().print(
        f"{vocabulary['name']} {what} version {vocabulary['version']}.",
        highlight=False,
        markup=False,
    )
    if saved["job_id"]:
        console().print(
            f"The library is tagged again in job {saved['job_id']}.", highlight=False, markup=False
        )


def delete_vocabulary(name: Name, url: Url = None, key: Key = None) -> None:
    """Delete all versions of a vocabulary that is not the default."""
    _run(lambda client: client.request("DELETE", f"/vocabularies/{name}"), url, key)
    console().print(f"{name} deleted.", highlight=False, markup=False)


def try_label(
    name: Name,
    group: Annotated[str, typer.Argument(help="A group of it.")],
    label: Annotated[str, typer.Argument(help="A label of the group, or a new one to try.")],
    as_json: AsJson = False,
    url: Url = None,
    key: Key = None,
) -> None:
    """Show a label over the whole library: which tracks it fits best and least."""
    path = f"/vocabularies/{name}/distribution"
    found = _run(lambda client: client.get(path, group=group, label=label), url, key)
    if as_json:
        _print_json(found)
        return
    for warning in found["warnings"]:
        error_console().print(f"note: {warning}", markup=False, highlight=False)
    console().print(
        f"{label} would be given to {found['assigned']} of {found['tracks']} tracks.",
        highlight=False,
        markup=False,
    )
    ends = [("best", each) for each in found["top"]]
    ends += [("least", each) for each in reversed(found["bottom"])]
    print_table(
        ("Fits", "Track", "Artist", "Probability", "Relevance"),
        (
            (
                which,
                each["track"]["title"] or each["track"]["filename"],
                each["track"]["artist"],
                percent(each["probability"]),
                percent(each["relevance"]),
            )
            for which, each in ends
        ),
    )


def _run(call: Callable[[Client], Awaitable[Any]], url: str | None, key: str | None) -> Any:
    async def run() -> Any:
        async with connect(target(url, key), read_settings()) as client:
            return await call(client)

    return asyncio.run(run())


def _read(file: str) -> dict[str, Any]:
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text(encoding="utf-8")
        content = json.loads(text)
    except OSError as error:
        raise CliError(f"cannot read {file}: {error.strerror}") from None
    except ValueError as error:
        raise CliError(f"{file} is not JSON: {error}") from None
    if not isinstance(content, dict):
        raise CliError(f"{file} must hold an object with groups")
    return content


def _label(label: str | dict[str, Any]) -> dict[str, Any]:
    empty = {"threshold": None, "weak": False, "note": None}
    return {**empty, "label": label} if isinstance(label, str) else {**empty, **label}


def _lean(value: Any) -> Any:
    """Without the fields that say nothing."""
    if isinstance(value, list):
        return [_lean(item) for item in value]
    if isinstance(value, dict):
        return {k: _lean(v) for k, v in value.items() if v not in (None, False, [])}
    return value


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2, ensure_ascii=False))
