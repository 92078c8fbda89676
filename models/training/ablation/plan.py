"""What is compared, and which runs each cell of the comparison needs.

Cells share what they have in common: the quantizer and the MuQ of `rvq8` are trained once for a
seed, and `rvq8_iter` and `mulan_rvq8` go on from them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.networks.config import MelRVQConfig, MuQConfig
from models.networks.random_projection import RandomProjectionConfig
from models.training.mel_rvq import MelRvqRecipe
from models.training.mulan import MulanRecipe
from models.training.muq import MuqRecipe
from models.training.recipes import RECIPES, on_random_projection
from models.training.relabel import RelabelRecipe
from models.training.settings import override


@dataclass(frozen=True)
class Sizes:
    """How large a comparison is: a recipe of every stage, and its updates.

    `settings` are applied to every stage (data, threads); the others to one stage each.
    """

    recipe: str = "small"
    rvq_updates: int = 600
    muq_updates: int = 1000
    relabel_updates: int = 400
    mulan_updates: int = 300
    settings: tuple[str, ...] = ()
    muq_settings: tuple[str, ...] = ()
    mulan_settings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Step:
    """One run: its folder (relative), stage and recipe."""

    folder: Path
    stage: str
    recipe: Any


@dataclass(frozen=True)
class Cell:
    """A column of the comparison: the runs that lead to it, the last of which is judged."""

    name: str
    question: str
    steps: tuple[Step, ...]


CELLS: dict[str, str] = {
    "untrained": "what random weights are worth to a probe",
    "random": "BEST-RQ: one book of a random projection",
    "vq": "a single trained VQ, 8 values a code",
    "rvq1": "Mel-RVQ with 1 codebook",
    "rvq4": "Mel-RVQ with 4 codebooks",
    "rvq8": "Mel-RVQ with 8 codebooks",
    "rvq8_long": "rvq8 for twice the updates: what iteration must beat",
    "rvq8_iter": "one iteration: MuQ again, on labels of rvq8's states",
    "mulan_scratch": "contrastive stage from random weights",
    "mulan_rvq8": "contrastive stage from rvq8",
    "mulan_rvq8_iter": "contrastive stage from rvq8_iter",
}


def plan_cell(name: str, seed: int, sizes: Sizes, out: Path) -> Cell:
    """Return a cell with its runs under `out`; ValueError for a name that there is not."""
    if name not in CELLS:
        raise ValueError(f"there is no cell {name!r}; there are {', '.join(CELLS)}")
    planner = _Planner(seed, sizes, out / f"seed-{seed}")
    return Cell(name, CELLS[name], tuple(planner.steps(name)))


class _Planner:
    def __init__(self, seed: int, sizes: Sizes, root: Path) -> None:
        self._seed, self._sizes, self._root = seed, sizes, root
        self._codes = RECIPES["mel_rvq"][sizes.recipe]().rvq.codebook_size

    def steps(self, name: str) -> list[Step]:
        books: dict[str, Callable[[], list[Step]]] = {
            "untrained": self._untrained,
            "random": self._random,
            "vq": lambda: self._quantized("vq", books=1, dim=8),
            "rvq1": lambda: self._quantized("rvq1", books=1),
            "rvq4": lambda: self._quantized("rvq4", books=4),
            "rvq8": lambda: self._quantized("rvq8", books=8),
            "rvq8_long": self._long,
            "rvq8_iter": self._iterated,
            "mulan_scratch": lambda: self._mulan("mulan_scratch", None),
            "mulan_rvq8": lambda: self._mulan("mulan_rvq8", "rvq8"),
            "mulan_rvq8_iter": lambda: self._mulan("mulan_rvq8_iter", "rvq8_iter"),
        }
        return books[name]()

    def _untrained(self) -> list[Step]:
        # One update at a vanishing rate: the same code reads it as all others.
        recipe = self._muq(1, self._rvq_config(8))
        still = dataclasses.replace(recipe.optimiser, peak_lr=1e-12, weight_decay=0.0)
        return [self._step("untrained", "muq", dataclasses.replace(recipe, optimiser=still))]

    def _random(self) -> list[Step]:
        target = RandomProjectionConfig(codebook_size=min(16 * self._codes, 8192))
        recipe = on_random_projection(self._muq(self._sizes.muq_updates, self._rvq_config(1)),
                                      target)  # fmt: skip
        return [self._step("random/muq", "muq", recipe)]

    def _quantized(
        self, name: str, books: int, dim: int = 16, updates: int = 0, rvq: str = ""
    ) -> list[Step]:
        config = self._rvq_config(books, dim)
        source = self._root / (rvq or name) / "mel_rvq"
        base: MelRvqRecipe = self._base("mel_rvq", self._sizes.rvq_updates, ())
        quantizer = dataclasses.replace(base, rvq=config)
        muq = self._muq(updates or self._sizes.muq_updates, config)
        muq = dataclasses.replace(muq, rvq_run=str(source))
        return [
            self._step(f"{rvq or name}/mel_rvq", "mel_rvq", quantizer),
            self._step(f"{name}/muq", "muq", muq),
        ]

    def _long(self) -> list[Step]:
        return self._quantized("rvq8_long", 8, updates=2 * self._sizes.muq_updates, rvq="rvq8")

    def _iterated(self) -> list[Step]:
        before = self._quantized("rvq8", books=8)
        base: RelabelRecipe = self._base("relabel", self._sizes.relabel_updates, ())
        shape = before[-1].recipe.muq.conformer
        labels = dataclasses.replace(
            base,
            muq_run=str(before[-1].folder),
            rvq=dataclasses.replace(base.rvq, input_dim=shape.width),
            # The ninth of twelve layers, in the source; the same share of any other number.
            layer_index=max(round(0.75 * shape.layers), 1),
        )
        relabel = self._step("rvq8_iter/relabel", "relabel", labels)
        books, codes = labels.rvq.codebooks, labels.rvq.codebook_size
        recipe = self._muq(self._sizes.muq_updates, None, books, codes)
        again = dataclasses.replace(recipe, label_folder=str(relabel.folder / "labels"))
        return [*before, relabel, self._step("rvq8_iter/muq", "muq", again)]

    def _mulan(self, name: str, start: str | None) -> list[Step]:
        before = self.steps(start) if start else []
        base: MulanRecipe = self._base(
            "mulan", self._sizes.mulan_updates, self._sizes.mulan_settings
        )
        # The tower has the shape of what it starts from, and the same shape where it does not.
        muq: MuQConfig = self.steps(start or "rvq8")[-1].recipe.muq
        recipe = dataclasses.replace(
            base,
            network=dataclasses.replace(base.network, muq=muq),
            muq_run=str(before[-1].folder) if before else "",
            start_from="",
        )
        return [*before, self._step(name, "mulan", recipe)]

    def _muq(
        self, updates: int, rvq: MelRVQConfig | None, books: int = 0, codes: int = 0
    ) -> MuqRecipe:
        base: MuqRecipe = self._base("muq", updates, self._sizes.muq_settings)
        books, codes = (rvq.codebooks, rvq.codebook_size) if rvq else (books, codes)
        network = dataclasses.replace(
            base.muq, rvq=rvq, target_codebooks=books, head_dim=books * codes
        )
        # A recipe must name a target at every moment; labels follow.
        label_folder = "" if rvq else "to be named"
        return dataclasses.replace(base, muq=network, rvq_run="", label_folder=label_folder)

    def _rvq_config(self, books: int, dim: int = 0) -> MelRVQConfig:
        config: MelRVQConfig = RECIPES["mel_rvq"][self._sizes.recipe]().rvq
        return dataclasses.replace(config, codebooks=books, codebook_dim=dim or config.codebook_dim)

    def _base(self, stage: str, updates: int, settings: tuple[str, ...]) -> Any:
        recipe = RECIPES[stage][self._sizes.recipe]()
        rate = recipe.optimiser
        rate = dataclasses.replace(
            rate, updates=updates, warmup_updates=min(rate.warmup_updates, updates // 5)
        )
        loop = dataclasses.replace(recipe.loop, seed=self._seed)
        phases = tuple(p for p in recipe.data.phases if p.until_update < updates)
        last = recipe.data.phases[min(len(phases), len(recipe.data.phases) - 1)]
        phases = (*(p for p in phases if p is not last),
                  dataclasses.replace(last, until_update=updates))  # fmt: skip
        data = dataclasses.replace(recipe.data, phases=phases)
        recipe = dataclasses.replace(recipe, optimiser=rate, loop=loop, data=data)
        return override(recipe, [*self._sizes.settings, *settings])

    def _step(self, folder: str, stage: str, recipe: Any) -> Step:
        return Step(self._root / folder, stage, recipe)
