"""Compare targets, iteration and pre-training on data of one's own.

    python -m models.training.ablation OUT --judge MANIFEST:CACHE [--judge ...]
        [--cells all|NAME,NAME] [--seeds 3] [--recipe small] [--muq-updates N] ...
        [--set data.manifest=... --set data.cache=...] [--estimate 3]

Called again it goes on where it was interrupted. With --estimate it trains nothing to the end, but
times so many updates of every stage and prints what each cell would cost on this machine.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from models.training.ablation.judging import Judge, open_judge
from models.training.ablation.plan import CELLS, Cell, Sizes, Step, plan_cell
from models.training.ablation.runner import TABLE_FILE, estimate, run_ablation


def main(arguments: Sequence[str] | None = None) -> None:
    given = _parser().parse_args(arguments)
    sizes = Sizes(
        recipe=given.recipe,
        rvq_updates=given.rvq_updates,
        muq_updates=given.muq_updates,
        relabel_updates=given.relabel_updates,
        mulan_updates=given.mulan_updates,
        settings=tuple(given.settings),
        muq_settings=tuple(given.muq_settings),
        mulan_settings=tuple(given.mulan_settings),
    )
    names = list(CELLS) if given.cells == "all" else given.cells.split(",")
    torch.set_num_threads(given.threads)
    if given.estimate:
        _print_estimate(names, sizes, given.estimate, given.seeds)
        return
    judges = [_judge(text) for text in given.judge]
    if not judges:
        raise SystemExit("name at least one --judge MANIFEST:CACHE")
    seeds = range(given.first_seed, given.first_seed + given.seeds)
    run_ablation(given.out, names, list(seeds), sizes, judges)
    print((given.out / TABLE_FILE).read_text("utf-8"))


def _judge(text: str) -> Judge:
    manifest, colon, cache = text.rpartition(":")
    if not colon:
        raise SystemExit(f"--judge {text}: write MANIFEST:CACHE")
    return open_judge(Path(manifest), Path(cache))


def _print_estimate(names: Sequence[str], sizes: Sizes, updates: int, seeds: int) -> None:
    """Time stages that need no earlier run; iteration and contrast cost what is said beside."""
    total_s = 0.0
    with tempfile.TemporaryDirectory() as name:
        for number, cell_name in enumerate(names):
            cell = plan_cell(cell_name, 1, sizes, Path(name))
            own = [s for s in cell.steps if cell_name in s.folder.as_posix().split("/")]
            timed = [_standalone(step) for step in own]
            steps = [step for step in timed if step is not None]
            seconds = 0.0
            for cost in estimate(
                Cell(cell.name, cell.question, tuple(steps)), updates,
                Path(name) / str(number),
            ):  # fmt: skip
                seconds += cost.total_s
                print(f"  {cost.step:32s} {cost.updates:6d} x {cost.per_update_s:.2f} s")
            print(f"{cell_name:18s} {seconds / 60:8.1f} CPU minutes a seed  ({cell.question})")
            total_s += seconds
    print(f"all for {seeds} seeds: {seeds * total_s / 3600:.1f} CPU hours, judging not counted")


def _standalone(step: Step) -> Step | None:
    """The step without what it starts from, which costs an update nothing."""
    if step.stage == "relabel":
        return None
    recipe = step.recipe
    if step.stage == "muq" and recipe.label_folder:
        return None
    changes = {"muq": {"rvq_run": ""}, "mulan": {"muq_run": ""}}.get(step.stage, {})
    return dataclasses.replace(step, recipe=dataclasses.replace(recipe, **changes))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m models.training.ablation")
    sizes = Sizes()
    parser.add_argument("out", type=Path)
    parser.add_argument("--judge", action="append", default=[], metavar="MANIFEST:CACHE")
    parser.add_argument("--cells", default="all", help=", ".join(CELLS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--recipe", choices=("tiny", "small"), default=sizes.recipe)
    for stage in ("rvq", "muq", "relabel", "mulan"):
        default = getattr(sizes, f"{stage}_updates")
        parser.add_argument(f"--{stage}-updates", type=int, default=default)
    parser.add_argument("--set", dest="settings", action="append", default=[])
    parser.add_argument("--muq-set", dest="muq_settings", action="append", default=[])
    parser.add_argument("--mulan-set", dest="mulan_settings", action="append", default=[])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--estimate", type=int, default=0, metavar="UPDATES")
    return parser


if __name__ == "__main__":
    main()
