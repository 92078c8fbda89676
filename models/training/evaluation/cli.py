"""The commands `muquery evaluate ...`, for the program to mount.

torch and what else is heavy is imported when a command runs, not when the commands are listed.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

evaluate_app = typer.Typer(
    help="Judge a model, or the search of your own library.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Corpus = Annotated[Path, typer.Option(help="Folder of the corpus and of the evaluation sets.")]
Threads = Annotated[int, typer.Option(min=0, help="CPU threads; 0: all.")]
# The library that a new installation is offered lies beside the code that serves it.
DEMO_LIBRARY = Path(__file__).resolve().parents[3] / "service" / "demo" / "library"


@evaluate_app.command("fetch")
def evaluate_fetch_command(corpus: Corpus = Path("corpus")) -> None:
    """Fetch the labelled recordings and the generated music; about 1.5 GB of downloads."""
    from models.training.corpus.fetch import FetchError
    from models.training.evaluation.labelled import LabelledError, fetch_labelled

    try:
        for name, tracks in fetch_labelled(corpus, typer.echo).items():
            typer.echo(f"{name}: {tracks} tracks")
    except (FetchError, LabelledError) as error:
        raise typer.BadParameter(str(error)) from error


@evaluate_app.command("bundled")
def evaluate_bundled_command(
    model: Annotated[
        str | None, typer.Argument(help="A bundle's name or folder; by default the bundled one.")
    ] = None,
    corpus: Corpus = Path("corpus"),
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("evaluation"),
    test: Annotated[
        bool,
        typer.Option("--test", help="Open the labelled test part too: once per released bundle."),
    ] = False,
    demo: Annotated[Path, typer.Option(help="The demo library.")] = DEMO_LIBRARY,
    threads: Threads = 1,
) -> None:
    """Judge a bundle: labels, free text, languages, robustness, calibration, neighbours, speed.

    What the corpus folder lacks is named with the command that makes it; the rest is measured.
    The first run of a model takes minutes, most of them for embedding; vectors are kept.
    """
    import models
    from models.training.evaluation.bundled import evaluate_bundled
    from models.training.evaluation.demo import read_demo_library
    from models.training.evaluation.report import write_report
    from models.training.teacher.label_store import LabelsError

    encoder = models.load_bundle(model, threads=threads)
    library = (demo, read_demo_library(demo))
    try:
        found = evaluate_bundled(encoder, corpus, library, with_test=test, say=typer.echo)
    except LabelsError as error:
        raise typer.BadParameter(str(error)) from error
    path = write_report(found, out)
    for table in found.tags:
        measured = table.measures["roc_auc"].bundle
        typer.echo(f"{table.set:22s} {table.kind:18s} ROC-AUC   {measured}")
    for queries in found.queries:
        for name in ("recall_5", "recall_10"):
            value = queries.measures[name].bundle
            typer.echo(
                f"{queries.set:22s} {queries.kind:18s} {name:10s}{value} chance {value.chance:.3f}"
            )
    for line in found.missing:
        typer.echo(f"not measured for want of {line}", err=True)
    typer.echo(f"written to {path.parent}")


@evaluate_app.command("run")
def evaluate_run_command(
    run: Annotated[Path, typer.Argument(help="Folder of a mulan run.")],
    manifest: Annotated[list[Path], typer.Option(help="Held-out tracks; may be repeated.")],
    cache: Annotated[Path, typer.Option(help="Mel cache that holds these tracks.")],
    out: Annotated[Path | None, typer.Option(help="RUN/evaluation by default.")] = None,
    checkpoint: Annotated[
        str, typer.Option(help="last, best, averaged, translated, or update-N.")
    ] = "last",
    threads: Threads = 0,
) -> None:
    """Zero-shot tags and retrieval of a training run on any manifest, with intervals and chance."""
    import torch

    from models.training.evaluate import (
        TrainedEmbedder,
        evaluate_set,
        headline_figures,
        write_report,
    )
    from models.training.manifest import read_manifest
    from models.training.mel_cache import MelCache
    from models.training.mulan import load_trained_mulan
    from models.training.run import RunError

    if threads:
        torch.set_num_threads(threads)
    folder = out or run / "evaluation"
    try:
        model = TrainedEmbedder(load_trained_mulan(run, checkpoint))
    except RunError as error:
        raise typer.BadParameter(str(error)) from error
    mels = MelCache(cache)
    evaluations = [
        evaluate_set(model, mels, read_manifest(path), path.stem, plots=folder) for path in manifest
    ]
    write_report(evaluations, folder)
    for name, interval in headline_figures(evaluations):
        typer.echo(f"{name:48s} {interval}  chance {interval.chance:.3f}")
    typer.echo(f"written to {folder}")


@evaluate_app.command("probe")
def evaluate_probe_command(
    task: Annotated[str, typer.Argument(help="A task, as gtzan; `list` names them all.")],
    manifest: Annotated[
        Path | None, typer.Option(help="Tracks with labels, in train, valid and test.")
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="A run's folder, a bundle, or the published layout.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder of the report.")] = Path("evaluation"),
    cache: Annotated[
        Path | None, typer.Option(help="File that keeps the features of this model and task.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    seed: Annotated[int, typer.Option(help="Of the head and of the order of batches.")] = 1234,
    learning_rate: Annotated[float | None, typer.Option(help="Instead of the task's own.")] = None,
) -> None:
    """Train a small head on a model's frozen features, and judge it on the test split (MARBLE)."""
    from models.bundle.loading import DEFAULT_BUNDLE
    from models.errors import BundleNotFoundError
    from models.training.evaluation.probing.run import run_probe
    from models.training.evaluation.probing.tasks import TASKS, ProbeError
    from models.training.finetuning.parent import ParentError

    if task == "list":
        for known in TASKS.values():
            typer.echo(f"{known.name:20s} tags: {', '.join(known.kinds)}")
        return
    if task not in TASKS:
        raise typer.BadParameter(f"there is no task {task!r}: {', '.join(TASKS)}")
    if manifest is None:
        raise typer.BadParameter("--manifest is needed")
    try:
        result = run_probe(
            task, model or DEFAULT_BUNDLE, manifest, out, cache=cache, device=device, seed=seed,
            learning_rate=learning_rate, say=typer.echo,
        )  # fmt: skip
    except (ProbeError, ParentError, BundleNotFoundError) as error:
        raise typer.BadParameter(str(error)) from error
    for name, i in result.figures.items():
        typer.echo(f"{name:18s} {i} chance {i.chance:.3f}")
    typer.echo(f"written to {out}")
