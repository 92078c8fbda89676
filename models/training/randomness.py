"""Random numbers as functions of a run's seed and of where it stands, so that nothing is kept."""

from __future__ import annotations

import numpy as np
import torch

# What a stream of numbers is for; two uses never share one. Data and captions have 1, 2, 4 to 6.
MASKS, STALE_CODES = 3, 7


def torch_stream(seed: int, turn: int, use: int) -> torch.Generator:
    """Return a generator of its own for each seed, turn (a position, an update) and use."""
    mixed = int(np.random.SeedSequence([seed, turn, use]).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator().manual_seed(mixed)
