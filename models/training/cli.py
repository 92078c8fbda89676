"""The commands `muquery train ...`, for the program to mount.

torch is imported when a command runs, not when the commands are listed.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from models.training.bundled.command import bundled_command
from models.training.model_commands import add_model_commands

train_app = typer.Typer(
    help="Train models, from a manifest of audio files.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
corpus_app = typer.Typer(help="The bundled model's training material.", no_args_is_help=True)
train_app.add_typer(corpus_app, name="corpus")

Recipe = Annotated[str, typer.Option(help="tiny, small or published.")]
Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="A setting of the recipe, key=value, any number of times."),
]
RunFolder = Annotated[
    Path | None, typer.Option("--run", help="The run's folder; runs/STAGE-RECIPE by default.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]
Show = Annotated[bool, typer.Option("--show", help="Print the configuration; train nothing.")]


STAGES = {
    "mel_rvq": "Fit the residual quantizer of mel frames.",
    "muq": "Pre-train MuQ by masked prediction.",
    "relabel": "Quantize a trained MuQ's states and label the corpus, for a further iteration.",
    "mulan": "Train the joint music-text model by contrast, and by a teacher where one is given.",
}


def _stage_command(stage: str) -> Callable[..., None]:
    def command(
        recipe: Recipe = "small",
        settings: Settings = None,
        run: RunFolder = None,
        resume: Resume = False,
        show: Show = False,
    ) -> None:
        _train(stage, recipe, settings, run, resume, show)

    return command


for _stage, _help in STAGES.items():
    train_app.command(_stage, help=_help)(_stage_command(_stage))
add_model_commands(train_app)
train_app.command("bundled")(bundled_command)


@train_app.command("manifest")
def train_manifest_command(
    folder: Annotated[Path, typer.Argument(help="A folder of music.", exists=True)],
    name: Annotated[str, typer.Option(help="File name, inside FOLDER.")] = "manifest.jsonl",
) -> None:
    """Describe a folder of music from its files' tags, in a manifest inside that folder."""
    from models.training.manifest import ManifestEntry, write_manifest
    from models.training.scan import SkippedFile, scan_folder

    entries: list[ManifestEntry] = []
    for found in scan_folder(folder):
        if isinstance(found, SkippedFile):
            typer.echo(f"skipped {found.path}: {found.reason}", err=True)
        else:
            entries.append(found)
    if not entries:
        raise typer.BadParameter(f"{folder} holds no readable audio of 3 s or more")
    path = folder / name
    write_manifest(path, entries)
    hours = sum(entry.duration_s for entry in entries) / 3600
    typer.echo(f"{path}: {len(entries)} tracks, {hours:.1f} h")


@train_app.command("dataset")
def train_dataset_command(
    name: Annotated[str, typer.Argument(help="magnatagatune, mtg-jamendo, musiccaps, ...")],
    folder: Annotated[Path, typer.Argument(help="The data set as it was downloaded.")],
    settings: Settings = None,
    workers: Annotated[int, typer.Option(min=1, help="Files to probe at once.")] = 2,
) -> None:
    """Make a manifest of a public data set, with its published split, inside its folder."""
    from models.training.datasets.common import DatasetError
    from models.training.datasets.registry import write_dataset_manifest

    options: dict[str, Any] = {}
    for setting in settings or []:
        key, _, value = setting.partition("=")
        options[key] = (
            value in ("true", "yes")
            if value in ("true", "yes", "false", "no")
            else (int(value) if value.isdigit() else value)
        )
    try:
        made = write_dataset_manifest(name, folder, options, workers)
    except DatasetError as error:
        raise typer.BadParameter(str(error)) from error
    for skipped in made.skipped[:20]:
        typer.echo(f"skipped {skipped.path}: {skipped.reason}", err=True)
    if len(made.skipped) > 20:
        typer.echo(f"... and {len(made.skipped) - 20} more", err=True)
    hours = sum(entry.duration_s for entry in made.entries) / 3600
    typer.echo(f"{made.path}: {len(made.entries)} tracks, {hours:.1f} h")


@train_app.command("cache")
def train_cache_command(
    manifest: Annotated[Path, typer.Argument(help="A manifest.", exists=True)],
    out: Annotated[Path, typer.Argument(help="Folder of the cache.")],
    processes: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 2,
    float16: Annotated[bool, typer.Option("--float16", help="Twice the size, exact.")] = False,
) -> None:
    """Decode every track once and keep its log-mel frames."""
    from models.training.manifest import read_manifest
    from models.training.mel_cache import build_mel_cache

    storage: Any = "float16" if float16 else "int8"
    failed = build_mel_cache(read_manifest(manifest), manifest.parent, out, storage, processes)
    if failed:
        typer.echo(f"{len(failed)} tracks could not be decoded: {', '.join(failed[:10])}", err=True)


@corpus_app.command("build")
def build_corpus_command(
    out: Annotated[Path, typer.Option(help="Folder of the corpus.")] = Path("corpus"),
    workers: Annotated[int, typer.Option(min=1, help="Processes that decode and render.")] = 2,
) -> None:
    """Fetch, check and render the material again; takes about 14 GB of disk."""
    from models.training.corpus.build import build_corpus

    build_corpus(out, workers=workers, say=typer.echo)


def _train(
    stage: str, name: str, settings: list[str] | None, run: Path | None, resume: bool, show: bool
) -> None:
    import json

    from models.training import distributed
    from models.training.recipes import RECIPES
    from models.training.run import RunError, read_json
    from models.training.settings import SettingError, from_json, override, to_json
    from models.training.teacher.label_store import LabelsError

    if name not in RECIPES[stage]:
        raise typer.BadParameter(f"{stage} has the recipes {', '.join(RECIPES[stage])}")
    recipe = RECIPES[stage][name]()
    folder = run or Path("runs") / f"{stage}-{name}"
    try:
        if resume:
            # What the run was started with, and not what the recipe says today.
            recipe = from_json(type(recipe), read_json(folder / "config.json")["config"])
        recipe = override(recipe, settings or [])
        if show:
            typer.echo(json.dumps(to_json(recipe), indent=2))
            return
        distributed.start_from_environment()
        module = importlib.import_module(f"models.training.{stage}")
        getattr(module, f"train_{stage}")(recipe, folder, name, resume)
    except (LabelsError, RunError, SettingError) as error:
        raise typer.BadParameter(str(error)) from error
