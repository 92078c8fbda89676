"""Where the files of the corpus lie."""

from __future__ import annotations

from pathlib import Path

from models.training.manifest import Split


def split_folder(out: Path, split: Split) -> Path:
    """Return the folder whose manifests list a split: what is held out lies apart, below eval."""
    return out / "eval" if split == "test" else out
