"""What must be there before hours are spent: programs, soundfonts, modules, room on the disk."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from models.training.bundled.chain import Step

# The Debian packages behind what a step may lack.
_PACKAGES = {
    "mma": "mma",
    "fluidsynth": "fluidsynth",
    "apt-get": "apt",
    "dpkg": "dpkg",
    "FluidR3_GM.sf2": "fluid-soundfont-gm",
    "sf_GMbank.sf2": "csound-soundfont",
    "OPL-3_FM_128M.sf2": "opl3-soundfont",
}
_MODULES = ("matplotlib", "onnx", "onnxscript", "safetensors", "tensorboard", "torch")
# For files that are written beside their final name, and whatever else the machine does.
_MARGIN = 1.1
_MB = 1_000_000


def list_problems(steps: Sequence[Step], free_bytes: dict[Path, int] | None = None) -> list[str]:
    """Say what the steps that are still to do would fail for; [] where nothing is known.

    `free_bytes` replaces what the disks say, by a step's folder.
    """
    problems = [
        f"the program {name} is missing: Debian package {_PACKAGES[name]}"
        for name in dict.fromkeys(name for step in steps for name in step.programs)
        if shutil.which(name) is None
    ]
    problems += [
        f"{path} is missing: Debian package {_PACKAGES.get(path.name, 'unknown')}"
        for path in dict.fromkeys(path for step in steps for path in step.files)
        if not path.exists()
    ]
    if gone := [name for name in _MODULES if steps and find_spec(name) is None]:
        problems.append(f'{", ".join(gone)} missing: pip install "muquery[train]"')
    return problems + _full_disks(steps, free_bytes or {})


def _full_disks(steps: Sequence[Step], free_bytes: dict[Path, int]) -> list[str]:
    needed: dict[int, float] = defaultdict(float)
    free: dict[int, int] = {}
    folders: dict[int, Path] = {}
    for step in steps:
        if step.cost is None:
            continue
        place = _existing(step.folder)
        disk = place.stat().st_dev
        needed[disk] += _MARGIN * step.cost.disk_mb * _MB
        free[disk] = free_bytes.get(step.folder, shutil.disk_usage(place).free)
        folders[disk] = place
    return [
        f"{folders[disk]}: {wanted / 1e9:.1f} GB are needed, {free[disk] / 1e9:.1f} GB are free"
        for disk, wanted in needed.items()
        if wanted > free[disk]
    ]


def _existing(path: Path) -> Path:
    path = path.absolute()
    while not path.exists():
        path = path.parent
    return path
