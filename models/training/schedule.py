"""Learning rate and optimiser settings: the rate is a pure function of the update's number.

Because nothing is remembered, a resumed run is on the same curve as an uninterrupted one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import torch

Decay = Literal["constant", "linear", "cosine"]


@dataclass(frozen=True)
class OptimiserConfig:
    """AdamW (decoupled decay; with `weight_decay` 0 it is Adam) and its rate over time."""

    peak_lr: float
    updates: int
    warmup_updates: int = 0
    decay: Decay = "constant"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0
    clip_norm: float = 0.0
    """Largest norm of all gradients together; 0 leaves them as they are."""

    def __post_init__(self) -> None:
        if not self.peak_lr > 0:
            raise ValueError(f"peak_lr {self.peak_lr} must be above 0")
        if self.updates < 1:
            raise ValueError(f"updates {self.updates} must be at least 1")
        if not 0 <= self.warmup_updates <= self.updates:
            raise ValueError(f"warmup_updates {self.warmup_updates} must lie in 0..{self.updates}")
        if self.decay not in ("constant", "linear", "cosine"):
            raise ValueError(f"unknown decay {self.decay!r}")
        if self.clip_norm < 0 or self.weight_decay < 0:
            raise ValueError("clip_norm and weight_decay must not be negative")


def learning_rate(config: OptimiserConfig, update: int) -> float:
    """Return the rate of update number `update` (the first is 0): linear warm-up, then decay."""
    if update < config.warmup_updates:
        return config.peak_lr * (update + 1) / config.warmup_updates
    remaining = max(config.updates - config.warmup_updates, 1)
    progress = min((update - config.warmup_updates) / remaining, 1.0)
    if config.decay == "linear":
        return config.peak_lr * (1.0 - progress)
    if config.decay == "cosine":
        return config.peak_lr * 0.5 * (1.0 + math.cos(math.pi * progress))
    return config.peak_lr


def make_optimiser(
    config: OptimiserConfig, parameters: Iterable[torch.nn.Parameter]
) -> torch.optim.Optimizer:
    """Return AdamW over the parameters; vectors (biases, norms, temperatures) do not decay."""
    import torch

    trained = [parameter for parameter in parameters if parameter.requires_grad]
    matrices = [parameter for parameter in trained if parameter.ndim >= 2]
    vectors = [parameter for parameter in trained if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": config.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    from torch.distributed.tensor import DTensor

    sharded = any(isinstance(parameter, DTensor) for parameter in trained)
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=config.peak_lr,
        betas=config.betas,
        eps=config.eps,
        # Sharded and whole parameters cannot be in one fused operation.
        foreach=False if sharded else None,
    )
