"""Discrete labels of whole tracks on disk, as stage relabel writes and stage muq reads them.

Legend: B batch, Q codebooks, S tokens.

    labels.json    codebooks, codes per codebook, mel frames per token, where they came from
    labels.bin     uint16 codes [S, Q], one track after another
    index.jsonl    one line per finished track: sha256, first token, tokens
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True)
class LabelSettings:
    """What labels are: their books and codes, their rate, and the run that they came from."""

    codebooks: int
    codebook_size: int
    frames_per_token: int
    source: str


class LabelStore:
    """Labels opened for reading."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.settings = LabelSettings(**json.loads((folder / "labels.json").read_text("utf-8")))
        self.frames_per_token = self.settings.frames_per_token
        mapped = np.memmap(folder / "labels.bin", dtype=np.uint16, mode="r")
        self._codes = mapped.reshape(-1, self.settings.codebooks)
        self._places = list_labelled(folder)

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self._places

    def read(self, files: Sequence[str], starts: NDArray[np.int64], frames: int) -> Tensor:
        """Read labels [B, Q, S] of crops that start at these mel frames, wrapping as crops do."""
        tokens = -(-frames // self.frames_per_token)
        rows = []
        for sha256, start in zip(files, starts, strict=True):
            first, count = self._places[sha256]
            wanted = first + (int(start) // self.frames_per_token + np.arange(tokens)) % count
            rows.append(self._codes[wanted].T.astype(np.int64))
        return torch.from_numpy(np.stack(rows))


class LabelWriter:
    """Adds tracks to a label folder; what an interrupted run left unlisted is cut off."""

    def __init__(self, folder: Path, settings: LabelSettings) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "labels.json"
        text = json.dumps(asdict(settings), indent=2) + "\n"
        if path.exists() and path.read_text("utf-8") != text:
            raise ValueError(f"{folder} holds labels of another kind; choose another folder")
        path.write_text(text, "utf-8")
        self.folder, self.settings = folder, settings
        self.done = list_labelled(folder)
        self._next = sum(count for _, count in self.done.values())
        with (folder / "labels.bin").open("ab") as data:
            data.truncate(self._next * settings.codebooks * 2)

    def add(self, sha256: str, codes: NDArray[np.integer]) -> None:
        """Append one track's codes [S, Q]."""
        with (self.folder / "labels.bin").open("ab") as data:
            data.write(codes.astype(np.uint16).tobytes())
        record = {"sha256": sha256, "first": self._next, "tokens": len(codes)}
        with (self.folder / "index.jsonl").open("a", encoding="utf-8") as index:
            index.write(json.dumps(record) + "\n")
        self.done[sha256] = (self._next, len(codes))
        self._next += len(codes)


def list_labelled(folder: Path) -> dict[str, tuple[int, int]]:
    """Return first token and number of tokens of each finished track, by sha256."""
    path = folder / "index.jsonl"
    if not path.exists():
        return {}
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return {record["sha256"]: (record["first"], record["tokens"]) for record in records}
