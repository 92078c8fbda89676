"""Small file helpers of the corpus."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.training.manifest import Split


def sha256_file(path: Path) -> str:
    """Return a file's sha256 as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def split_folder(out: Path, split: Split) -> Path:
    """Return the folder whose manifests list a split: what is held out lies apart, below eval."""
    return out / "eval" if split == "test" else out
