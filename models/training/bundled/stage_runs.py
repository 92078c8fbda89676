"""Where a training run of the chain stands, read from its folder alone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from models.training import checkpoint, distributed
from models.training.bundled.recipe import StageRun
from models.training.manifest import read_manifest
from models.training.mel_cache import cache_identity
from models.training.run import Run, RunError, read_json
from models.training.settings import from_json, to_json

Standing = Literal["new", "begun", "finished"]

# Settings that do not change what is learned, and those that say where something lies.
_HOW = frozenset(
    {
        "loop.threads",
        "loop.device",
        "loop.log_every",
        "loop.save_every",
        "loop.keep",
        "data.decode_threads",
    }
)
_WHERE = frozenset(
    {"manifest", "cache", "text_folder", "labels", "rvq_run", "muq_run", "start_from"}
)


def standing_of(run: StageRun) -> Standing:
    """Say whether a run is new, begun or finished.

    Raises RunError where the folder holds a run of another stage, with other settings or on other
    data: what was trained is not thrown away, and nothing is built on it unawares.
    """
    if not (run.folder / "config.json").exists():
        return "new"
    counters = read_counters(run.folder)
    if counters is None:
        return "new"
    stored = read_json(run.folder / "config.json")
    if stored["stage"] != run.stage:
        raise RunError(f"{run.folder} holds a run of {stored['stage']}, not of {run.stage}")
    # What did not exist when the run began has its default, as when it is resumed.
    config = to_json(from_json(type(run.recipe), stored["config"]))
    other = differing_settings(config, to_json(run.recipe))
    if other:
        raise RunError(f"{run.folder} was trained with other settings: {'; '.join(other)}")
    data = run.recipe.data
    if not Path(data.manifest).exists() or not (Path(data.cache) / "cache.json").exists():
        return "begun"
    if read_json(run.folder / "environment.json")["data_identity"] != identity_of(
        data.manifest, data.cache
    ):
        raise RunError(f"{run.folder} was trained on other data; the corpus has changed since")
    return "finished" if _is_over(run, counters) else "begun"


def train(run: StageRun, processes: int = 1) -> None:
    """Train a run, from where it stands, to its end, in as many processes as divide its batches.

    Batch norms keep their statistics per process, as several processes do in the published
    training, so that a run in two differs from one in one by a little.
    """
    begun = standing_of(run) == "begun"
    if not begun and (run.folder / "config.json").exists():
        # Stopped before its first checkpoint: there is nothing in it to go on from.
        shutil.rmtree(run.folder)
    batches = [phase.batch_size for phase in run.recipe.data.phases]
    fitting = max(n for n in range(1, processes + 1) if not any(size % n for size in batches))
    distributed.run_in_processes(partial(_train_stage, run, begun), fitting)


def _train_stage(run: StageRun, begun: bool) -> None:
    module = import_module(f"models.training.{run.stage}")
    stage = getattr(module, f"train_{run.stage}")
    stage(run.recipe, run.folder, run.recipe_name, begun)


def read_counters(folder: Path) -> dict[str, Any] | None:
    """Read updates, audio and wall seconds from a run's last checkpoint; None without one."""
    path = Run(folder).last_checkpoint
    if not path.exists():
        return None
    return checkpoint.read_counters(path)


def differing_settings(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """List the settings, by dotted name, in which two configurations train differently.

    Of paths it matters only whether there is one.
    """
    # Through JSON, so that tuples and lists compare alike.
    before, now = (_flat(json.loads(json.dumps(config))) for config in (stored, wanted))
    return [
        f"{key} was {before.get(key)!r} and would be {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if key not in _HOW and before.get(key) != now.get(key)
    ]


@cache
def identity_of(manifest: str, mels: str) -> str:
    """Hash what training reads of a corpus; kept, for it is asked of every run."""
    return cache_identity(Path(mels), read_manifest(Path(manifest)))


def _is_over(run: StageRun, counters: Mapping[str, Any]) -> bool:
    loop = run.recipe.loop
    stopped = bool(loop.patience) and counters["stale_validations"] >= loop.patience
    # The plots are the last thing that a run writes.
    drawn = any((run.folder / "plots").glob("*.png"))
    return drawn and (stopped or counters["update"] >= run.recipe.optimiser.updates)


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        parts = [_flat(item, f"{prefix}{key}.") for key, item in value.items()]
        return {key: item for part in parts for key, item in part.items()}
    key = prefix.removesuffix(".")
    return {key: bool(value) if key.rsplit(".", 1)[-1] in _WHERE else value}
