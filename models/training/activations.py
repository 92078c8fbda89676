"""Activation checkpointing: keep a block's inputs only, and compute the rest again going back.

Memory falls to about the activations of one block; a step computes a third more.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils.checkpoint import checkpoint

from models.networks.conformer import ConformerLayer
from models.networks.muq import ResidualConv
from models.networks.text_encoder import TextLayer
from models.networks.tower_layers import TowerLayer

# The repeated parts of the networks, which hold nearly all activations.
BLOCKS = (ResidualConv, ConformerLayer, TowerLayer, TextLayer)


def checkpoint_activations(module: nn.Module) -> int:
    """Make every block of a network recompute its activations in training; return how many.

    Losses and gradients stay the same: random numbers are drawn again alike, and batch norms do
    not count the second pass.
    """
    blocks = [block for block in module.modules() if isinstance(block, BLOCKS)]
    for block in blocks:
        # On the instance, not around it: names in checkpoints stay what they are.
        block.forward = _Recomputed(block)  # type: ignore[method-assign,assignment]
    return len(blocks)


class _Recomputed:
    """A block's forward pass, done again when gradients are wanted."""

    def __init__(self, block: nn.Module) -> None:
        self._block = block
        self._forward: Callable[..., Any] = block.forward
        self._norms = [norm for norm in block.modules() if isinstance(norm, _BatchNorm)]

    def __call__(self, *inputs: Any) -> Any:
        if not (self._block.training and torch.is_grad_enabled()):
            return self._forward(*inputs)
        return checkpoint(
            self._forward, *inputs, use_reentrant=False, context_fn=self._two_contexts
        )

    def _two_contexts(self) -> tuple[AbstractContextManager[None], AbstractContextManager[None]]:
        return nullcontext(), self._uncounted()

    @contextmanager
    def _uncounted(self) -> Iterator[None]:
        # The second pass counts into copies, which are thrown away.
        kept = [dict(norm.named_buffers(recurse=False)) for norm in self._norms]
        for norm, buffers in zip(self._norms, kept, strict=True):
            for name, buffer in buffers.items():
                setattr(norm, name, buffer.clone())
        try:
            yield
        finally:
            for norm, buffers in zip(self._norms, kept, strict=True):
                for name, buffer in buffers.items():
                    setattr(norm, name, buffer)
