"""A process that saves snapshots until it is killed: `python -m tests.indexer.crash_writer`.

Modes: sound (ours), manifest-first (the manifest is in place before its data is), wrong-seq (the
manifest claims more than the data holds). The last two exist to prove that the check sees them.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np

from indexer import snapshot
from indexer.faiss_index import FaissIndex
from tests.indexer.helpers import MODEL_ID, unit_vectors

CRASH_DIM = 16
_BASE = 2_000


def state_at(seq: int) -> tuple[np.ndarray, np.ndarray]:
    """The only right content after change `seq`: ids [N] and vectors [N, CRASH_DIM]."""
    vectors = unit_vectors(_BASE, CRASH_DIM, seed=1)
    return np.arange(_BASE, dtype=np.int64) + seq, np.roll(vectors, seq, axis=0)


def index_at(seq: int) -> FaissIndex:
    return FaissIndex.build([state_at(seq)], model_id=MODEL_ID, dim=CRASH_DIM, seq=seq)


def save_manifest_first(seq: int, folder: Path) -> None:
    """What a careless writer does: overwrite in place, the manifest before the data."""
    manifest = snapshot.save_snapshot(index_at(seq), folder / "whole")
    folder.mkdir(exist_ok=True)
    (folder / snapshot.MANIFEST).write_text(json.dumps(vars(manifest)))
    data = (folder / "whole" / manifest.file).read_bytes()
    with (folder / manifest.file).open("wb", buffering=0) as file:
        for start in range(0, len(data), 1_000):
            file.write(data[start : start + 1_000])
            # As slow as a real disk, so that some kills land in between.
            time.sleep(0.001)


def save_wrong_seq(seq: int, folder: Path) -> None:
    """A manifest three changes ahead of its data."""
    manifest = snapshot.save_snapshot(index_at(seq), folder)
    fields = {**vars(manifest), "seq": seq + 3}
    (folder / snapshot.MANIFEST).write_text(json.dumps(fields))


def main() -> None:
    folder, mode = Path(sys.argv[1]), sys.argv[2]
    for seq in count(1):
        if mode == "sound":
            snapshot.save_snapshot(index_at(seq), folder)
        elif mode == "manifest-first":
            save_manifest_first(seq, folder)
        else:
            save_wrong_seq(seq, folder)
        print(seq, flush=True)


if __name__ == "__main__":
    main()
