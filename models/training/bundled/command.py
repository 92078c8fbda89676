"""The command `muquery train bundled`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def bundled_command(
    out: Annotated[Path, typer.Argument(help="Folder of the bundle; its name is the model's.")],
    corpus: Annotated[Path, typer.Option(help="Folder of the music.")] = Path("corpus"),
    runs: Annotated[Path, typer.Option(help="Folder of the training runs.")] = Path("runs"),
    evaluation: Annotated[
        Path | None, typer.Option(help="Folder of the report; OUT-evaluation by default.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="small (what is shipped) or tiny.")] = "small",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="A setting, as muq.optimiser.updates=150; repeatable."),
    ] = None,
    processes: Annotated[
        int, typer.Option(min=1, help="Processes that render, decode, label and train.")
    ] = 2,
    plan: Annotated[
        bool, typer.Option("--plan", help="Print the steps, what is done, time and disk.")
    ] = False,
    show: Annotated[
        bool, typer.Option("--show", help="Print the configuration; do nothing.")
    ] = False,
) -> None:
    """Make the bundled model from nothing, evaluate it, and hold it against the shipped one.

    Called again it goes on where it was stopped. Without --set the labelled test part is opened, as
    for the shipped bundle; with other settings it stays closed (open_test=true opens it).
    """
    import json

    from models.errors import ModelError
    from models.training.bundled.chain import list_steps
    from models.training.bundled.compare import compare_records
    from models.training.bundled.finishing import made_record, shipped_record
    from models.training.bundled.recipe import BUNDLED_RECIPES, Folders, placed
    from models.training.bundled.running import (
        JOURNAL,
        NotReadyError,
        plan_lines,
        read_journal,
        run_steps,
    )
    from models.training.checkpoint import CheckpointError
    from models.training.corpus.fetch import FetchError
    from models.training.countdown import clock
    from models.training.run import RunError
    from models.training.settings import SettingError, override, to_json
    from models.training.teacher.label_store import LabelsError

    refused = (CheckpointError, FetchError, LabelsError, ModelError, NotReadyError, RunError,
               SettingError)  # fmt: skip
    if recipe not in BUNDLED_RECIPES:
        raise typer.BadParameter(f"there are the recipes {', '.join(BUNDLED_RECIPES)}")
    folders = Folders(out, corpus, runs, evaluation or out.with_name(f"{out.name}-evaluation"))
    try:
        wanted = placed(BUNDLED_RECIPES[recipe](), recipe, folders)
        # What is tuned must not be tuned on the test part.
        closed = ["open_test=false"] if settings else []
        wanted = override(wanted, [*closed, *(settings or [])])
        if show:
            typer.echo(json.dumps(to_json(wanted), indent=2))
            return
        steps = list_steps(wanted, recipe, folders, with_test=wanted.open_test, processes=processes)
        if plan:
            for line in plan_lines(steps, [step.is_done() for step in steps]):
                typer.echo(line)
            return
        run_steps(steps, runs / JOURNAL, typer.echo)
        made, shipped = made_record(folders), shipped_record()
    except refused as error:
        raise typer.BadParameter(str(error)) from error
    took = read_journal(runs / JOURNAL)
    typer.echo(f"{out}: model_id {made['model_id']}; report in {folders.evaluation}")
    typer.echo(f"steps of this and earlier calls took {clock(sum(took.values()))}")
    if shipped is None:
        typer.echo("the shipped bundle carries no record to compare with")
        return
    for line in compare_records(shipped, made).lines():
        typer.echo(line)
