"""A run folder: what was asked, on which data, by which code, and everything that came out.

config.json        stage, recipe and every setting
environment.json   code commit, packages, machine, identity of the data
metrics.jsonl      one line per logged update or validation
tensorboard/       the same numbers for TensorBoard
checkpoints/       last.safetensors, best.safetensors, and what else was kept or made of them
plots/             PNG curves, drawn when the run ends
report.json        why a run stopped early, where it did
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from models.training import distributed
from models.training.settings import to_json
from models.whole_file import whole_file

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

CHECKPOINTS = ("last", "best", "averaged", "translated", "told")
"""Names of checkpoints that a bundle can be made of."""
_PACKAGES = ("torch", "numpy", "av", "soxr", "safetensors", "muquery")


class RunError(RuntimeError):
    """A run folder is missing, already used, or not of the stage that is asked for."""


class Run:
    """One run's folder. `open_new` refuses a folder in use; `open_existing` continues one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writer: SummaryWriter | None = None

    @classmethod
    def open_new(
        cls, folder: Path, stage: str, recipe: str, config: Mapping[str, Any], data_identity: str
    ) -> Run:
        """Create the folder and write what is known before the first update."""
        if (folder / "config.json").exists():
            raise RunError(f"{folder} already holds a run; resume it or choose another folder")
        folder.mkdir(parents=True, exist_ok=True)
        run = cls(folder)
        run.write_json("config.json", {"stage": stage, "recipe": recipe, "config": dict(config)})
        run.write_json("environment.json", describe_environment(data_identity))
        return run

    @classmethod
    def open(
        cls, folder: Path, stage: str, name: str, recipe: Any, data_identity: str, resume: bool
    ) -> Run:
        """Open a run's folder, new or to be continued; only the first process writes there.

        A resumed run must be of the same stage and data. Its settings may have been overridden:
        the new ones are written, the old ones stay beside them.
        """
        if not distributed.is_first():
            return cls(folder)
        config = to_json(recipe)
        if not resume:
            return cls.open_new(folder, stage, name, config, data_identity)
        run = cls.open_existing(folder, stage)
        known = read_json(folder / "environment.json")["data_identity"]
        if known != data_identity:
            raise RunError(f"{folder} was trained on other data; the corpus has changed since")
        # Through JSON, so that tuples and lists compare alike.
        if run.config["config"] != json.loads(json.dumps(config)):
            replaced = len(list(folder.glob("config.replaced-*.json")))
            (folder / "config.json").rename(folder / f"config.replaced-{replaced}.json")
            run.write_json("config.json", {"stage": stage, "recipe": name, "config": config})
        return run

    @classmethod
    def open_existing(cls, folder: Path, stage: str) -> Run:
        """Open a folder to continue; RunError where it holds no run of this stage."""
        found = read_json(folder / "config.json")
        if found["stage"] != stage:
            raise RunError(f"{folder} holds a run of {found['stage']}, not of {stage}")
        return cls(folder)

    def checkpoint(self, name: str) -> Path:
        """The path of a checkpoint: one of CHECKPOINTS, or update-N where that was kept."""
        return self.folder / "checkpoints" / f"{name}.safetensors"

    def find_checkpoint(self, name: str) -> Path:
        """The path of a checkpoint that is there; RunError where the run has none of that name."""
        path = self.checkpoint(name)
        if not path.exists():
            raise RunError(f"{self.folder} has no checkpoint {name!r}")
        return path

    @property
    def last_checkpoint(self) -> Path:
        return self.checkpoint("last")

    @property
    def best_checkpoint(self) -> Path:
        return self.checkpoint("best")

    @property
    def config(self) -> dict[str, Any]:
        return read_json(self.folder / "config.json")

    def write_json(self, name: str, value: Any) -> None:
        """Write a JSON file of the run."""
        with whole_file(self.folder / name) as draft:
            draft.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")

    def log(self, update: int, kind: str, values: Mapping[str, float]) -> None:
        """Add one line of numbers, to metrics.jsonl and to TensorBoard."""
        line = {"update": update, "kind": kind, **{name: float(v) for name, v in values.items()}}
        with (self.folder / "metrics.jsonl").open("a", encoding="utf-8") as out:
            out.write(json.dumps(line) + "\n")
        if self._writer is None:
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self.folder / "tensorboard"), purge_step=update)
        for name, value in values.items():
            self._writer.add_scalar(f"{kind}/{name}", float(value), update)

    def forget_after(self, update: int) -> None:
        """Drop lines past a checkpoint, which a resumed run will write again."""
        lines = [line for line in self.read_metrics() if line["update"] <= update]
        with whole_file(self.folder / "metrics.jsonl") as draft:
            draft.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def read_metrics(self) -> Iterator[dict[str, Any]]:
        """Yield the lines of metrics.jsonl; a line cut off by a crash ends it."""
        path = self.folder / "metrics.jsonl"
        if not path.exists():
            return
        for line in path.read_text("utf-8").splitlines():
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return

    def close(self) -> None:
        """Flush what is open and draw the plots."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        from models.training.plots import plot_curves

        plot_curves(list(self.read_metrics()), self.folder / "plots")


def read_json(path: Path) -> dict[str, Any]:
    """Read one of a run's JSON files; RunError where it is missing."""
    if not path.exists():
        raise RunError(f"{path} does not exist")
    value: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return value


def describe_environment(data_identity: str) -> dict[str, Any]:
    """Collect what a reader needs to repeat the run: commit, packages, machine, data."""
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            packages[name] = "not installed"
    return {
        "git_commit": _git("rev-parse", "HEAD"),
        "git_dirty": bool(_git("status", "--porcelain", "--untracked-files=no", "--", "models")),
        "data_identity": data_identity,
        "python": platform.python_version(),
        "packages": packages,
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
    }


def _git(*arguments: str) -> str:
    here = Path(__file__).parent
    try:
        done = subprocess.run(  # noqa: S603  # a fixed command without outside input
            ["git", "-C", str(here), *arguments],  # noqa: S607
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
