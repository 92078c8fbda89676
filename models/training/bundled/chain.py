"""The chain of steps from nothing to the bundle, each of which knows whether it is done."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.training.averaging import average_checkpoints, is_average_of
from models.training.bundled import finishing, material, stage_runs
from models.training.bundled.costs import STEP_COSTS, Cost, cost_of_run
from models.training.bundled.recipe import (
    STAGE_RUNS,
    Average,
    BundledRecipe,
    Folders,
    StageRun,
    list_stage_runs,
)
from models.training.corpus.render import FONTS, HELD_OUT_FONT
from models.training.countdown import Say
from models.training.evaluation.sets import FETCHED
from models.training.run import Run
from models.training.telling import TellingConfig, is_told, tell_sayings
from models.training.translations import is_taught, teach_translations

_FETCHING = ("apt-get", "dpkg")
_RENDERING = ("mma", "fluidsynth")


@dataclass(frozen=True)
class Step:
    """One part of the chain. `is_done` looks at what lies on disk; `run` goes on from there.

    `folder` is where its disk is used, `programs` and `files` what must be installed for it.
    """

    name: str
    what: str
    folder: Path
    is_done: Callable[[], bool]
    run: Callable[[Say], None]
    cost: Cost | None = None
    programs: tuple[str, ...] = ()
    files: tuple[Path, ...] = ()


def list_steps(
    recipe: BundledRecipe, name: str, folders: Folders, *, with_test: bool, processes: int
) -> list[Step]:
    """List the steps of a recipe that has been placed in `folders`; `name` is the recipe's."""
    runs = dict(zip(STAGE_RUNS, list_stage_runs(recipe, name, folders), strict=True))
    last = runs[STAGE_RUNS[-1]]
    steps = [
        *_material_steps(recipe, folders, processes),
        *(_run_step(field, run, processes) for field, run in runs.items()),
        *([_average_step(recipe.average, runs["mulan"], last)] if recipe.average else []),
        *([_translate_step(recipe, last)] if recipe.translations_keep else []),
        *([_tell_step(recipe, recipe.telling, last)] if recipe.telling else []),
        *_finishing_steps(recipe, list(runs.values()), folders, with_test),
    ]
    return [_with_cost(step, runs) for step in steps] if name == "small" else steps


def _material_steps(recipe: BundledRecipe, folders: Folders, processes: int) -> list[Step]:
    rendering = recipe.build_corpus and recipe.render_scale > 0
    fonts = [Path(font.file) for font in (*FONTS, HELD_OUT_FONT)] if rendering else []
    corpus = Step(
        name="corpus",
        what="fetch, check and render the music",
        folder=folders.corpus,
        is_done=lambda: material.corpus_is_built(recipe, folders),
        run=lambda say: material.build_the_corpus(recipe, folders, processes, say),
        programs=(*(_FETCHING if recipe.build_corpus else ()), *(_RENDERING if rendering else ())),
        files=tuple(fonts),
    )
    text = Step(
        name="text",
        what="convert the text encoder",
        folder=folders.text,
        is_done=lambda: material.text_is_there(folders),
        run=lambda _: material.make_the_text_encoder(recipe, folders),
    )
    teacher = Step(
        name="teacher",
        what=f"let the teacher hear up to {recipe.teacher_windows} windows of each track",
        folder=folders.teacher.parent,
        is_done=lambda: material.teacher_has_heard_all(folders, recipe.teacher_windows),
        run=lambda say: material.let_the_teacher_hear(
            folders, recipe.teacher_windows, processes, say
        ),
    )
    mels = Step(
        name="mels",
        what="decode every track once, to log-mel frames",
        folder=folders.mels,
        is_done=lambda: material.mels_are_cached(folders),
        run=lambda _: material.cache_the_mels(folders, processes),
    )
    return [corpus, text, *([teacher] if recipe.teacher_windows else []), mels]


def _run_step(field: str, run: StageRun, processes: int) -> Step:
    updates = run.recipe.optimiser.updates
    return Step(
        name=field,
        what=f"train {run.stage}, recipe {run.recipe_name}, {updates} updates",
        folder=run.folder,
        is_done=lambda: stage_runs.standing_of(run) == "finished",
        run=lambda _: stage_runs.train(run, processes),
    )


def _average_step(average: Average, mulan: StageRun, run: StageRun) -> Step:
    later, out = (Run(run.folder).checkpoint(name) for name in ("last", "averaged"))
    earlier = Run(mulan.folder).checkpoint(f"update-{average.update}")

    def averages(_: Say) -> None:
        average_checkpoints(later, earlier, average.share, out)

    return Step(
        name="average",
        what=f"mix {average.share:.0%} of mulan after {average.update} updates into its weights",
        folder=run.folder,
        is_done=lambda: is_average_of(out, later, earlier, average.share),
        run=averages,
    )


def _translate_step(recipe: BundledRecipe, run: StageRun) -> Step:
    source = recipe.trained_checkpoint
    before, out = (Run(run.folder).checkpoint(name) for name in (source, "translated"))
    keep = recipe.translations_keep

    def teach(_: Say) -> None:
        teach_translations(run.folder, source, "translated", keep)

    return Step(
        name="translate",
        what="teach its text side what common tags are called in six languages",
        folder=run.folder,
        is_done=lambda: is_taught(out, before, keep),
        run=teach,
    )


def _tell_step(recipe: BundledRecipe, telling: TellingConfig, run: StageRun) -> Step:
    source = recipe.untold_checkpoint
    before, out = (Run(run.folder).checkpoint(name) for name in (source, "told"))

    def tell(say: Say) -> None:
        tell_sayings(run.folder, source, "told", telling, say)

    return Step(
        name="tell",
        what="tell its text side what listeners say for plain terms",
        folder=run.folder,
        is_done=lambda: is_told(out, before, telling),
        run=tell,
    )


def _finishing_steps(
    recipe: BundledRecipe, runs: list[StageRun], folders: Folders, with_test: bool
) -> list[Step]:
    sets = Step(
        name="sets",
        what="fetch the labelled recordings that only judge",
        folder=folders.corpus,
        is_done=lambda: _sets_are_there(folders),
        run=lambda say: _fetch_sets(folders, say),
        programs=_FETCHING,
    )
    bundle = Step(
        name="bundle",
        what="export, embed the reference, fit probabilities",
        folder=folders.out,
        is_done=lambda: finishing.bundle_is_made(recipe, runs[-1], folders),
        run=lambda _: finishing.make_the_bundle(recipe, runs[-1], folders, with_test),
    )
    evaluation = Step(
        name="evaluation",
        what="judge the bundle, as `muquery evaluate bundled` does",
        folder=folders.evaluation,
        is_done=lambda: finishing.is_evaluated(folders, with_test),
        run=lambda say: finishing.evaluate_the_bundle(folders, with_test, say),
    )
    card = Step(
        name="card",
        what="write card, languages and record as they were measured",
        folder=folders.out,
        is_done=lambda: finishing.is_described(folders),
        run=lambda _: finishing.describe_the_bundle(recipe, runs, folders),
    )
    # Some of the labelled recordings fit the bundle's probabilities.
    return [*([sets] if recipe.fetch_evaluation else []), bundle, evaluation, card]


def _sets_are_there(folders: Folders) -> bool:
    return all((folders.corpus / "eval" / f"{name}.jsonl").exists() for name in FETCHED)


def _fetch_sets(folders: Folders, say: Say) -> None:
    from models.training.evaluation.labelled import fetch_labelled

    fetch_labelled(folders.corpus, say)


def _with_cost(step: Step, runs: dict[str, StageRun]) -> Step:
    cost = STEP_COSTS.get(step.name) or cost_of_run(step.name, runs[step.name])
    return dataclasses.replace(step, cost=cost)
