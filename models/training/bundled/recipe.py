"""What the bundled model is made of: the recipes of its stages, wired to one set of folders."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from models.training.augment import AugmentConfig
from models.training.data import CropPhase
from models.training.mel_rvq import MelRvqRecipe
from models.training.mulan import MulanRecipe
from models.training.muq import MuqRecipe
from models.training.recipes import (
    mel_rvq_small,
    mel_rvq_tiny,
    mulan_small,
    mulan_small_robust,
    mulan_tiny,
    muq_small,
    muq_tiny,
)
from models.training.telling import TellingConfig

StageT = TypeVar("StageT", MelRvqRecipe, MuqRecipe, MulanRecipe)


@dataclass(frozen=True)
class Folders:
    """Where everything lies: the bundle, the corpus, the runs, the evaluation's report."""

    out: Path
    corpus: Path
    runs: Path
    evaluation: Path

    @property
    def manifest(self) -> Path:
        return self.corpus / "manifest.jsonl"

    @property
    def mels(self) -> Path:
        return self.corpus / "mels"

    @property
    def text(self) -> Path:
        return self.corpus / "text"

    @property
    def teacher(self) -> Path:
        return self.corpus / "teacher" / "labels.npz"


STAGE_RUNS = ("mel_rvq", "muq", "mulan", "robust")
"""The training runs, by their names in a recipe, in their order; the last one's is bundled."""
# Those that train the contrastive stage on.
_LATER = ("robust",)


@dataclass(frozen=True)
class Average:
    """How much of `mulan` after so many updates is in the weights that are bundled."""

    update: int
    share: float


@dataclass(frozen=True)
class BundledRecipe:
    """Everything that a bundle depends on, so that `robust.optimiser.updates=100` can be said.

    Without `build_corpus` the corpus folder must hold a manifest and a text encoder already; with
    `teacher_windows` of 0 nobody teaches but the captions; without `fetch_evaluation` the sets that
    lie in the corpus folder have to do; `open_test` opens the labelled test part. Without `average`
    the last weights are bundled; with `translations_keep` of 0 the text side is taught no
    translations, else that is how much it must leave English texts where they are; without
    `telling` it reads no sayings.
    """

    mel_rvq: MelRvqRecipe
    muq: MuqRecipe
    mulan: MulanRecipe
    robust: MulanRecipe
    licence: str
    average: Average | None = None
    translations_keep: float = 0.0
    telling: TellingConfig | None = None
    build_corpus: bool = True
    render_scale: float = 1.0
    teacher_windows: int = 24
    fetch_evaluation: bool = True
    open_test: bool = True
    calibrate: bool = True
    reference_clips: int = 3000

    @property
    def trained_checkpoint(self) -> str:
        """The checkpoint of the last run whose audio side is bundled."""
        return "averaged" if self.average else "last"

    @property
    def bundled_checkpoint(self) -> str:
        """The checkpoint of the last run that is bundled."""
        return "told" if self.telling else self.untold_checkpoint

    @property
    def untold_checkpoint(self) -> str:
        """The checkpoint of the last run that is told sayings, where it is."""
        return "translated" if self.translations_keep else self.trained_checkpoint


@dataclass(frozen=True)
class StageRun:
    """One training run of the chain: which stage, under which name, with which recipe."""

    stage: str
    recipe_name: str
    recipe: Any
    folder: Path


def bundled_small() -> BundledRecipe:
    """The model that is shipped: stages `small`, 800 updates of `small-robust`, and their average
    with the weights of `mulan` after 500 updates.

    Early weights hear recordings better, late ones captions and renders; in the mean a quarter of
    the early ones keeps most of both (docs/experiments.md).
    """
    return BundledRecipe(
        mel_rvq=mel_rvq_small(),
        muq=muq_small(),
        mulan=mulan_small(),
        robust=mulan_small_robust(),
        licence="GPL-3.0-only",
        average=Average(update=500, share=0.25),
        translations_keep=3.0,
        telling=TellingConfig(),
    )


def bundled_tiny() -> BundledRecipe:
    """The same chain in seconds, on a corpus folder that is there already; the test suite runs it.

    It leaves out what needs a network: building the corpus, the teacher, fetching evaluation sets.
    Nor is it calibrated: so little training hears nothing that a probability could be fitted to.
    """
    tiny = mulan_tiny()
    tiny = dataclasses.replace(
        tiny,
        # Robustness is judged by clips of ten seconds.
        network=dataclasses.replace(tiny.network, clip_s=10),
        data=dataclasses.replace(tiny.data, phases=(CropPhase(30, 1.0, 6),)),
        optimiser=dataclasses.replace(tiny.optimiser, updates=30),
        loop=dataclasses.replace(tiny.loop, log_every=10, validate_every=10, save_every=10),
    )
    robust = dataclasses.replace(
        tiny,
        data=dataclasses.replace(
            tiny.data,
            phases=(CropPhase(4, 1.0, 6),),
            augment=AugmentConfig(noise_chance=0.5, low_pass_chance=0.5, low_pass_hz=7000.0),
        ),
        optimiser=dataclasses.replace(tiny.optimiser, peak_lr=1e-4, updates=4),
        loop=dataclasses.replace(tiny.loop, log_every=2, validate_every=4, save_every=2),
    )
    return BundledRecipe(
        mel_rvq=mel_rvq_tiny(),
        muq=muq_tiny(),
        mulan=tiny,
        robust=robust,
        licence="CC0-1.0",
        average=Average(update=20, share=0.25),
        translations_keep=2.0,
        telling=TellingConfig(piece_width=8, epochs=1, joined=40),
        build_corpus=False,
        teacher_windows=0,
        fetch_evaluation=False,
        calibrate=False,
        reference_clips=50,
    )


BUNDLED_RECIPES: dict[str, Callable[[], BundledRecipe]] = {
    "tiny": bundled_tiny,
    "small": bundled_small,
}


def placed(recipe: BundledRecipe, name: str, folders: Folders) -> BundledRecipe:
    """Return the recipe with every stage reading from, and following on, what lies in `folders`."""
    runs = {field: str(_folder(folders, field, name)) for field in STAGE_RUNS}
    labels = str(folders.teacher) if recipe.teacher_windows else ""
    mulan, robust = (
        dataclasses.replace(
            stage,
            text_folder=str(folders.text),
            distill=dataclasses.replace(stage.distill, labels=labels),
        )
        for stage in (recipe.mulan, recipe.robust)
    )
    robust = dataclasses.replace(robust, muq_run="", start_from=runs["mulan"])
    if recipe.average:
        keep = tuple(sorted({*mulan.loop.keep, recipe.average.update}))
        mulan = dataclasses.replace(mulan, loop=dataclasses.replace(mulan.loop, keep=keep))
    return dataclasses.replace(
        recipe,
        mel_rvq=_reading(recipe.mel_rvq, folders),
        muq=_reading(dataclasses.replace(recipe.muq, rvq_run=runs["mel_rvq"]), folders),
        mulan=_reading(dataclasses.replace(mulan, muq_run=runs["muq"]), folders),
        robust=_reading(robust, folders),
    )


def _reading(stage: StageT, folders: Folders) -> StageT:
    data = dataclasses.replace(stage.data, manifest=str(folders.manifest), cache=str(folders.mels))
    return dataclasses.replace(stage, data=data)


def list_stage_runs(recipe: BundledRecipe, name: str, folders: Folders) -> list[StageRun]:
    """List the training runs in their order; `name` is the recipe's."""
    return [
        StageRun(
            stage="mulan" if field in _LATER else field,
            recipe_name=f"{name}-{field}" if field in _LATER else name,
            recipe=getattr(recipe, field),
            folder=_folder(folders, field, name),
        )
        for field in STAGE_RUNS
    ]


def _folder(folders: Folders, field: str, name: str) -> Path:
    folder = f"mulan-{name}-{field}" if field in _LATER else f"{field}-{name}"
    return folders.runs / folder
