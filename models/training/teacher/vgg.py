"""The package's second network in torch: a plain stack of 3x3 convolutions over 3 s patches.

Legend: N patches, F frames, M mel bins, C channels, K tags.

Written anew from the package's description of it and checked against its TensorFlow code, as
`musicnn` was. Every convolution is followed by a ReLU, batch normalisation and a maximum.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.training.teacher.musicnn import BATCH_NORM_EPS, TaggerOutput, filled, norm_from_tf

_CHANNELS = 128
# Window and step of the maximum after each layer, as (frames, bins).
_POOLS = (((4, 1), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((2, 2), (2, 2)), ((4, 4), (4, 4)))
PENULTIMATE_WIDTH = 2 * _CHANNELS


class Vgg(nn.Module):
    """Log-mel patches [N, 187, 96] to tag logits [N, K]; inference only (no dropout)."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=BATCH_NORM_EPS)
        self.convs = nn.ModuleList(
            nn.Conv2d(_CHANNELS if i else 1, _CHANNELS, 3, padding=1) for i in range(len(_POOLS))
        )
        self.norms = nn.ModuleList(
            nn.BatchNorm2d(_CHANNELS, eps=BATCH_NORM_EPS) for _ in range(len(_POOLS))
        )
        self.output = nn.Linear(PENULTIMATE_WIDTH, tags)

    def forward(self, mels: Tensor) -> TaggerOutput:
        states = self.input_norm(mels.unsqueeze(1))  # [N, 1, F, M]
        states = states.contiguous(memory_format=torch.channels_last)
        for conv, norm, (window, step) in zip(self.convs, self.norms, _POOLS, strict=True):
            states = functional.max_pool2d(norm(functional.relu(conv(states))), window, step)
        # The published weights expect the channels of one place side by side.
        penultimate = states.permute(0, 2, 3, 1).flatten(1)
        return TaggerOutput(self.output(penultimate), penultimate)


def vgg_from_tf(tensors: Mapping[str, NDArray[np.float32]]) -> Vgg:
    """The network with the weights of a published checkpoint; KeyError where one is missing."""
    network = Vgg(tags=len(tensors["dense/bias"]))
    return filled(network, dict(_state_from_tf(tensors)))


def _state_from_tf(tensors: Mapping[str, NDArray[np.float32]]) -> Iterator[tuple[str, Tensor]]:
    yield from norm_from_tf(tensors, "input_norm", 0)
    for i in range(len(_POOLS)):
        kernel = torch.tensor(tensors[f"{i + 1}CNN/kernel"])  # [frames, bins, in, out]
        yield f"convs.{i}.weight", kernel.permute(3, 2, 0, 1).contiguous()
        yield f"convs.{i}.bias", torch.tensor(tensors[f"{i + 1}CNN/bias"])
        yield from norm_from_tf(tensors, f"norms.{i}", i + 1)
    yield "output.weight", torch.tensor(tensors["dense/kernel"]).T.contiguous()
    yield "output.bias", torch.tensor(tensors["dense/bias"])
