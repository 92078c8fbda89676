"""FSDP for large networks: parameters, gradients and optimiser state split over the processes.

The repeated layers hold nearly all weights, so they alone are sharded (torch's `fully_shard`, a
layer at a time); stem, projections, temperatures and embeddings are copied to every process. A
tensor is then either whole or a DTensor, and the functions below take both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from models.networks.conformer import Conformer, ConformerLayer
from models.networks.text_encoder import TextEncoder, TextLayer
from models.networks.tower_layers import TowerLayer, TowerTransformer
from models.training import distributed

_LAYERS = (ConformerLayer, TowerLayer, TextLayer)
_STACKS = (Conformer, TowerTransformer, TextEncoder)


def shard_layers(module: nn.Module, device: torch.device) -> int:
    """Shard every stack of layers over all processes; return how many layers there are.

    The network must be on `device`, the same in all processes. Raises RuntimeError in a single
    process, where there is nothing to share.
    """
    if distributed.world_size() == 1:
        raise RuntimeError("sharding needs several processes: start with torchrun")
    mesh = init_device_mesh(device.type, (distributed.world_size(),))
    layers = [layer for layer in module.modules() if isinstance(layer, _LAYERS)]
    stacks = [stack for stack in module.modules() if isinstance(stack, _STACKS)]
    for part in (*layers, *stacks):
        if any(True for _ in part.parameters()):
            fully_shard(part, mesh=mesh)
    return len(layers)


def is_sharded(tensor: Tensor) -> bool:
    """Return whether a tensor is one process's part of a larger one."""
    return isinstance(tensor, DTensor)


def whole(tensor: Tensor) -> Tensor:
    """Return a tensor in full; every process must ask for it."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def part_like(reference: Tensor, full: Tensor) -> Tensor:
    """Return a full tensor split as `reference` is, or as it is."""
    if not isinstance(reference, DTensor):
        return full
    return distribute_tensor(full.to(reference.device), reference.device_mesh, reference.placements)


@torch.no_grad()
def clip_gradients(parameters: Sequence[nn.Parameter], limit: float) -> Tensor:
    """Scale gradients to a joint norm of at most `limit`; return the norm before.

    As torch's clip_grad_norm_, which cannot mix sharded and whole gradients.
    """
    gradients = [p.grad for p in parameters if p.grad is not None]
    sharded = [g.to_local() for g in gradients if isinstance(g, DTensor)]
    full = [g for g in gradients if not isinstance(g, DTensor)]
    if not sharded:
        return nn.utils.clip_grad_norm_(parameters, limit)
    squares = torch.stack([part.float().square().sum() for part in sharded]).sum()
    dist.all_reduce(squares)
    norm = torch.stack([squares, *[g.float().square().sum() for g in full]]).sum().sqrt()
    if math.isfinite(limit):
        scale = (limit / (norm + 1e-6)).clamp(max=1.0)
        for gradient in (*sharded, *full):
            gradient.mul_(scale.to(gradient.dtype))
    return norm
