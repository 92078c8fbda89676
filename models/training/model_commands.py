"""The commands that make models of models: `muquery train average`, `translate`, `tell`, `export`,
`finetune`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Checkpoint = Annotated[str, typer.Option(help="last, best, averaged, translated or told.")]


def add_model_commands(app: typer.Typer) -> None:
    """Add the commands to `muquery train`."""
    app.command("average")(average_command)
    app.command("translate")(translate_command)
    app.command("tell")(tell_command)
    app.command("export")(export_command)
    app.command("finetune")(finetune_command)


def average_command(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", exists=True)],
    earlier: Annotated[
        Path, typer.Argument(help="A checkpoint of a run that it went on from.", exists=True)
    ],
    share: Annotated[float, typer.Option(help="Of the earlier weights, between 0 and 1.")] = 0.25,
) -> None:
    """Average a run's last weights with earlier ones: RUN/checkpoints/averaged.safetensors.

    A run keeps the checkpoints of `--set loop.keep=500,900`. Use it by `--checkpoint averaged`.
    """
    from models.training.averaging import average_checkpoints
    from models.training.checkpoint import CheckpointError
    from models.training.run import Run

    later, out = Run(run).last_checkpoint, Run(run).checkpoint("averaged")
    try:
        tensors = average_checkpoints(later, earlier, share, out)
    except (CheckpointError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{out}: {tensors} tensors averaged")


def translate_command(
    run: Annotated[Path, typer.Argument(help="Folder of a finished mulan run.", exists=True)],
    checkpoint: Checkpoint = "last",
    keep: Annotated[
        float, typer.Option(help="Weight of English texts, which are to stay where they are.")
    ] = 3.0,
) -> None:
    """Teach a run's text side common tags in six languages: RUN/checkpoints/translated.safetensors.

    For runs that read a multilingual encoder's sentence embeddings. Use it by
    `--checkpoint translated`.
    """
    from models.training.checkpoint import CheckpointError
    from models.training.run import Run, RunError
    from models.training.translations import teach_translations

    try:
        pairs = teach_translations(run, checkpoint, "translated", keep)
    except (CheckpointError, RunError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{Run(run).checkpoint('translated')}: {pairs} translations taught")


def tell_command(
    source: Annotated[
        str, typer.Argument(help="Folder of a finished mulan run, or a bundle by name or folder.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="For a bundle: the one to write, which must not exist.")
    ] = None,
    checkpoint: Checkpoint = "last",
    manifest: Annotated[
        Path | None, typer.Option(help="For a bundle: a manifest whose captions shall stay.")
    ] = None,
) -> None:
    """Tell a text side what listeners say for plain terms, so that it need not hear the term.

    Of a run it makes RUN/checkpoints/told.safetensors, which is used by `--checkpoint told`; where
    translations are taught too, teach them first, and give `--checkpoint translated` here. Of a
    bundle it makes another bundle. Both need a text side that reads sentence embeddings.
    """
    from models.errors import ModelError
    from models.training.checkpoint import CheckpointError
    from models.training.run import Run, RunError
    from models.training.sayings import SayingsError
    from models.training.telling import tell_sayings

    try:
        if out is not None:
            made = _tell_bundle(source, out, manifest)
            typer.echo(f"{out}: model_id {made}")
            return
        sayings = tell_sayings(Path(source), checkpoint, "told", say=typer.echo)
    except (CheckpointError, ModelError, RunError, SayingsError, ValueError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{Run(Path(source)).checkpoint('told')}: {sayings} sayings told")


def _tell_bundle(source: str, out: Path, manifest: Path | None) -> str:
    from models.training.manifest import read_manifest
    from models.training.text_side import some_captions
    from models.training.told_bundle import tell_bundle

    settled = some_captions(read_manifest(manifest)) if manifest else []
    return tell_bundle(source, out, settled, say=typer.echo).model_id


def export_command(
    run: Annotated[Path, typer.Argument(help="Folder of a finished run.", exists=True)],
    out: Annotated[Path, typer.Argument(help="Folder to write, which must not exist.")],
    layout: Annotated[
        str, typer.Option(help="bundle (what muquery serves) or published (what `muq` loads).")
    ] = "bundle",
    name: Annotated[str, typer.Option(help="Name of the bundle; OUT's by default.")] = "",
    licence: Annotated[str, typer.Option(help="Licence of the weights, for a bundle.")] = "",
    checkpoint: Checkpoint = "last",
    labels: Annotated[
        list[Path] | None, typer.Option(help="A manifest to calibrate a bundle on; repeatable.")
    ] = None,
    rvq: Annotated[
        Path | None, typer.Option(help="A mel_rvq run, for a network that learned labels.")
    ] = None,
) -> None:
    """Write a run as a bundle, or in the published layout; what was written is read and compared.

    Runs of mulan and finetune become bundles, runs of muq and mulan the published layout.
    """
    from models.errors import ModelError
    from models.training.published_export import ExportError, export_published
    from models.training.run import CHECKPOINTS, RunError, read_json

    if layout not in ("bundle", "published"):
        raise typer.BadParameter("--layout is bundle or published")
    if checkpoint not in CHECKPOINTS:
        raise typer.BadParameter(f"--checkpoint is one of {', '.join(CHECKPOINTS)}")
    try:
        if layout == "published":
            written = export_published(run, out, checkpoint, rvq)
            typer.echo(
                f"{out}: {written.stage}, {written.parameters:,} parameters; read back the same, "
                f"answers differ by {written.largest_difference:.1g} at most"
            )
            return
        stage = read_json(run / "config.json")["stage"]
        identity = _write_bundle(stage, run, out, name or out.name, licence, checkpoint, labels)
    except (ExportError, ModelError, RunError) as error:
        raise typer.BadParameter(str(error)) from error
    typer.echo(f"{out}: model_id {identity}")


def _write_bundle(
    stage: str,
    run: Path,
    out: Path,
    name: str,
    licence: str,
    checkpoint: str,
    labels: list[Path] | None,
) -> str:
    if stage == "finetune":
        from models.training.finetuning.run import export_finetuned

        return export_finetuned(run, out, name, licence).model_id
    if not licence:
        raise typer.BadParameter("a bundle says under which licence its weights are: --licence")
    from models.bundle.from_run import RunToBundle, bundle_from_run

    order = RunToBundle(run, out, name, licence, checkpoint, tuple(labels or ()))
    return bundle_from_run(order).model_id


def finetune_command(
    library: Annotated[
        Path, typer.Argument(help="A folder of music.", exists=True, file_okay=False)
    ],
    bundle: Annotated[
        str, typer.Option(help="Model to start from: a name, a folder, a published id.")
    ] = "muquery-small",
    table: Annotated[
        Path | None,
        typer.Option("--tags", help="CSV: path, then kinds of tags.", exists=True),
    ] = None,
    run: Annotated[Path, typer.Option("--run", help="The run's folder.")] = Path("runs/finetune"),
    out: Annotated[
        Path | None, typer.Option(help="Write the bundle here, if it helped; see --always.")
    ] = None,
    always: Annotated[
        bool, typer.Option("--always", help="Write the bundle even if it did not help.")
    ] = False,
    settings: Annotated[
        list[str] | None, typer.Option("--set", help="A setting, key=value; repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the last save.")] = False,
    processes: Annotated[int, typer.Option(min=1, help="Decoding processes.")] = 2,
    check_manifest: Annotated[
        Path | None, typer.Option(help="Labelled tracks of other music, to see what is lost.")
    ] = None,
    check_cache: Annotated[Path | None, typer.Option(help="Mel cache of those tracks.")] = None,
) -> None:
    """Teach a model your own tags, from a folder of tagged music; says whether it helped."""
    from models.errors import ModelError
    from models.training.finetuning.library import LibraryError
    from models.training.finetuning.parent import ParentError
    from models.training.finetuning.run import FinetuneOrder, export_finetuned, finetune
    from models.training.run import RunError
    from models.training.settings import SettingError

    if (check_manifest is None) != (check_cache is None):
        raise typer.BadParameter("--check-manifest and --check-cache go together")
    check = (check_manifest, check_cache) if check_manifest and check_cache else None
    if out is not None and out.exists():
        raise typer.BadParameter(f"{out} exists; choose another folder")
    order = FinetuneOrder(
        library, bundle, run, table, tuple(settings or ()), processes, resume, check
    )
    try:
        report = finetune(order)
        typer.echo(report.sentence())
        if out is not None and (always or report.headline.verdict == "helped"):
            typer.echo(f"{out}: model_id {export_finetuned(run, out, out.name).model_id}")
        elif out is not None:
            typer.echo("no bundle was written; --always, or `muquery train export`, writes it")
    except (LibraryError, ModelError, ParentError, RunError, SettingError) as error:
        raise typer.BadParameter(str(error)) from error
