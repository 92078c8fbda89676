"""Commands for whoever runs the service: index, model, db; key and audit are in `access`."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

import typer

from models.errors import ModelError
from service.cli.access import audit, create_key, list_keys, revoke_key, rotate_key
from service.cli.changing import cancel_change, prune_models, status_of_change, use_model
from service.cli.client import connect, upgrade_database
from service.cli.options import Key, Url, read_settings, target
from service.cli.output import EXIT_FAILED, CliError, console, error_console, print_table, size


def register(program: typer.Typer) -> None:
    program.add_typer(
        _group("index", "The vector index.", verify_index, repair_index, rebuild_index)
    )
    models = (list_models, verify_model, pull_model)
    changes = (use_model, status_of_change, cancel_change, prune_models)
    program.add_typer(_group("model", "Models.", *models, *changes))
    program.add_typer(_group("db", "The database.", upgrade_db))
    program.add_typer(
        _group("key", "Keys of the API.", create_key, list_keys, rotate_key, revoke_key)
    )
    program.command()(audit)


def _group(name: str, text: str, *commands: Any) -> typer.Typer:
    group = typer.Typer(name=name, help=text, no_args_is_help=True)
    for command in commands:
        group.command(command.__name__.split("_")[0])(command)
    return group


def verify_index(url: Url = None, key: Key = None) -> None:
    """Compare the index with the database, vector by vector, and the words of all tracks."""
    result = asyncio.run(_post("/index/verify", url, key))
    for kind, found in (("vectors", result), ("tracks' words", result["words"])):
        console().print(
            f"{found['checked']} {kind} checked: {found['missing']} missing, "
            f"{found['extra']} too many, {found['different']} different.",
            highlight=False,
        )
    if not result["ok"]:
        error_console().print("the index differs; `muquery index repair` makes it right")
        raise typer.Exit(EXIT_FAILED)


def repair_index(url: Url = None, key: Key = None) -> None:
    """Make the index equal to the database where it is not."""
    result = asyncio.run(_post("/index/repair", url, key))
    words = result["words"]["repaired"]
    console().print(
        f"{result['repaired']} vectors and the words of {words} tracks repaired.", highlight=False
    )


def rebuild_index(url: Url = None, key: Key = None) -> None:
    """Make the index again from the database."""
    state = asyncio.run(_post("/index/rebuild", url, key))
    console().print(
        f"rebuilt: {state['tracks']} tracks, {state['clips']} passages.", highlight=False
    )


async def _post(path: str, url: str | None, key: str | None) -> Any:
    async with connect(target(url, key), read_settings()) as client:
        return await client.post(path)


def list_models() -> None:
    """Models that come with this installation, and published ones that it knows."""
    from models.bundle.disk import read_manifest
    from models.bundle.loading import find_bundle_folder, list_bundled, store_folder
    from models.bundle.pins import PUBLISHED_MODELS
    from models.bundle.pulling import is_pulled
    from service.runtime import model_store

    store = model_store(read_settings())
    rows: list[tuple[object, ...]] = [
        (name, "installed", read_manifest(find_bundle_folder(name)).licence)
        for name in list_bundled()
    ]
    for name, model in sorted(PUBLISHED_MODELS.items()):
        state = "pulled" if is_pulled(model, store_folder(name, store)) else "can be pulled"
        rows.append((name, state, model.licence))
    print_table(("Model", "State", "Licence"), rows)


def verify_model(
    name: Annotated[str | None, typer.Argument(help="A name or a folder.")] = None,
) -> None:
    """Check every file of a model, and that it computes what it should."""
    from models.bundle.loading import find_bundle_folder
    from models.bundle.verifying import verify_bundle
    from service.runtime import model_store

    settings = read_settings()
    try:
        folder = find_bundle_folder(name or settings.model, store=model_store(settings))
        report = verify_bundle(folder)
    except ModelError as error:
        raise CliError(str(error)) from None
    runtimes = ", ".join(report.runtimes)
    console().print(
        f"{report.name} ({report.model_id}) is sound: {size(report.size_bytes)}, "
        f"ran on {runtimes}.",
        highlight=False,
    )
    for note in report.notes:
        error_console().print(f"note: {note}", markup=False, highlight=False)


def pull_model(
    name: Annotated[str, typer.Argument(help="A published model's id.")],
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Fetch a published model, after showing its size, licence and the free disk."""
    from models.bundle.pulling import plan_pull, pull
    from service.runtime import model_store

    try:
        plan = plan_pull(name, model_store(read_settings()))
        out = console()
        out.print(f"{name}, licence {plan.model.licence}", highlight=False)
        out.print(
            f"{size(plan.missing_bytes)} to fetch of {size(plan.total_bytes)}; "
            f"{size(plan.free_bytes)} free in {plan.folder.parent}",
            highlight=False,
        )
        if not yes:
            typer.confirm("Fetch it?", abort=True)
        folder = pull(plan)
    except ModelError as error:
        raise CliError(str(error)) from None
    out.print(f"ready in {folder}; change to it with `muquery model use {name}`", highlight=False)


def upgrade_db() -> None:
    """Bring the database to the schema of this release."""
    revision = upgrade_database(read_settings())
    console().print(f"the database is at revision {revision}.", highlight=False)
