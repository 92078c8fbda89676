"""The mean of two checkpoints' weights, each with its share.

Where one run went on from the other, the weights between the two often do better than either: what
the later one learned at the cost of the earlier stays for the most part, and some of the cost does
not (Wortsman et al., "Robust fine-tuning of zero-shot models", arXiv 2109.01903).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import Tensor

from models.checksum import file_sha256
from models.training.checkpoint import (
    CheckpointError,
    read_counters,
    read_extras,
    read_weights,
    rewrite_weights,
)

_HEADER = "averaged"


def average_checkpoints(later: Path, earlier: Path, share: float, out: Path) -> int:
    """Write `later`'s network with `share` of `earlier`'s weights in it; return how many tensors.

    Batch norms' statistics are averaged like weights. Heads that `earlier` lacks stay as they are;
    `out` has no optimiser, nothing can be trained on from it. Raises CheckpointError where the
    shapes differ, nothing is common, or `earlier` does not exist; ValueError for a share outside
    of 0 to 1.
    """
    if not 0.0 < share < 1.0:
        raise ValueError("the earlier checkpoint's share lies between 0 and 1")
    if not earlier.exists():
        raise CheckpointError(
            f"{earlier} does not exist: a run keeps the checkpoints that loop.keep names"
        )
    weights, _ = read_weights(later)
    before, _ = read_weights(earlier)
    means: dict[str, Tensor] = {}
    for name, value in weights.items():
        if name not in before or not value.is_floating_point():
            continue
        if before[name].shape != value.shape:
            raise CheckpointError(f"{later} and {earlier} are of different networks: {name}")
        # In double precision, so that the order of the two does not matter.
        mean = (1.0 - share) * value.double() + share * before[name].double()
        means[name] = mean
    if not means:
        raise CheckpointError(f"{later} and {earlier} have no weights in common")
    rewrite_weights(later, out, means, {_HEADER: _facts(later, earlier, share)})
    return len(means)


def read_averaged(path: Path) -> dict[str, Any] | None:
    """Say of what a checkpoint is the mean: share, updates, SHA-256; None where it is none."""
    return read_extras(path).get(_HEADER)


def is_average_of(out: Path, later: Path, earlier: Path, share: float) -> bool:
    """Whether `out` is there and the mean of these very checkpoints."""
    if not all(path.exists() for path in (out, later, earlier)):
        return False
    return read_averaged(out) == _facts(later, earlier, share)


def _facts(later: Path, earlier: Path, share: float) -> dict[str, Any]:
    return {
        "later_sha256": file_sha256(later),
        "earlier_sha256": file_sha256(earlier),
        "earlier_updates": read_counters(earlier)["update"],
        "share_of_earlier": share,
    }
