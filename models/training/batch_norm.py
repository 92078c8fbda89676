"""Batch normalisation over the batches of all processes, on any device.

Legend: B local batch, C channels, W processes.

torch's own SyncBatchNorm runs on GPUs only, and a process group on CPUs is what tests have.
"""

from __future__ import annotations

import functools

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from models.training import distributed


def synchronise_batch_norm(module: nn.Module) -> None:
    """Let every batch norm of a network use the statistics of the global batch in training.

    Two processes then compute what one process computes on the doubled batch. Each norm costs one
    exchange of two numbers per channel, forwards and backwards.
    """
    for norm in module.modules():
        if isinstance(norm, _BatchNorm):
            norm.forward = functools.partial(_normalise, norm)  # type: ignore[method-assign]


def _normalise(norm: _BatchNorm, values: Tensor) -> Tensor:
    """Normalise [B, C, ...] per channel, and note running statistics as torch does."""
    if not norm.training or distributed.world_size() == 1:
        return type(norm).forward(norm, values)
    axes = [axis for axis in range(values.ndim) if axis != 1]
    exact = values.float()
    variance, mean = torch.var_mean(exact, dim=axes, correction=0)
    shared = distributed.gather_rows(torch.stack([mean, variance])[None])  # [W, 2, C]
    # Variance within the parts, and of the parts' means.
    mean = shared[:, 0].mean(dim=0)
    variance = shared[:, 1].mean(dim=0) + shared[:, 0].var(dim=0, correction=0)
    _note_statistics(norm, mean.detach(), variance.detach(), values.numel() // values.shape[1])
    shape = [1, -1, *[1] * (values.ndim - 2)]
    scaled = (exact - mean.view(shape)) * torch.rsqrt(variance.view(shape) + norm.eps)
    if norm.affine:
        scaled = scaled * norm.weight.view(shape) + norm.bias.view(shape)
    return scaled.to(values.dtype)


@torch.no_grad()
def _note_statistics(norm: _BatchNorm, mean: Tensor, variance: Tensor, count: int) -> None:
    if not norm.track_running_stats or norm.running_mean is None or norm.running_var is None:
        return
    assert norm.num_batches_tracked is not None
    norm.num_batches_tracked.add_(1)
    momentum = norm.momentum if norm.momentum is not None else 1 / float(norm.num_batches_tracked)
    total = count * distributed.world_size()
    norm.running_mean.lerp_(mean.to(norm.running_mean), momentum)
    norm.running_var.lerp_((variance * total / (total - 1)).to(norm.running_var), momentum)
