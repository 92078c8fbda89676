"""The demo library as tracks to be searched."""

from __future__ import annotations

import json
from pathlib import Path

from models.training.manifest import ManifestEntry


def read_demo_library(folder: Path) -> list[ManifestEntry]:
    """Read the pieces that `library.json` lists; paths are relative to its folder."""
    pieces = json.loads((folder / "library.json").read_text("utf-8"))
    return [
        ManifestEntry(
            id=piece["file"],
            path=piece["file"],
            duration_s=float(piece["duration_s"]),
            split="test",
            group=f"artist:{piece['artist'].lower()}",
            source=piece["source"],
            sha256=piece["sha256"],
            title=piece["title"],
            artist=piece["artist"],
            licence=piece["licence"],
            attribution=piece["attribution"],
        )
        for piece in pieces
    ]
