"""musicnn (Pons and Serra, 2019) in torch: a published tagger of 50 tags over 3 s patches.

Legend: N patches, F frames, M mel bins, C channels, K tags.

Written anew from the published description and checked against the authors' TensorFlow code.
Every convolution is followed by a ReLU, then batch normalisation.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

NetworkT = TypeVar("NetworkT", bound=nn.Module)

PATCH_FRAMES = 187
PENULTIMATE_WIDTH = 200
BATCH_NORM_EPS = 1e-3
# (filters, frames, mel bins): two that look for timbres, three for rhythms
_FRONT_BLOCKS = ((204, 7, 38), (204, 7, 67), (51, 128, 1), (51, 64, 1), (51, 32, 1))
_FRONT_WIDTH = sum(filters for filters, _, _ in _FRONT_BLOCKS)
_MID_FILTERS, _MID_FRAMES = 64, 7


@dataclass(frozen=True)
class TaggerOutput:
    """Tag logits [N, K] and the layer before them [N, 200]."""

    logits: Tensor
    penultimate: Tensor


class Musicnn(nn.Module):
    """Log-mel patches [N, F, M] to tag logits; inference only (no dropout)."""

    def __init__(self, tags: int = 50) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm1d(1, eps=BATCH_NORM_EPS)
        self.front = nn.ModuleList(
            FrontBlock(filters, frames, bins) for filters, frames, bins in _FRONT_BLOCKS
        )
        self.middle = nn.ModuleList(
            _ConvNorm(width, _MID_FILTERS, _MID_FRAMES)
            for width in (_FRONT_WIDTH, _MID_FILTERS, _MID_FILTERS)
        )
        pooled = 2 * (_FRONT_WIDTH + 3 * _MID_FILTERS)
        self.pooled_norm = nn.BatchNorm1d(pooled, eps=BATCH_NORM_EPS)
        self.dense = nn.Linear(pooled, PENULTIMATE_WIDTH)
        self.dense_norm = nn.BatchNorm1d(PENULTIMATE_WIDTH, eps=BATCH_NORM_EPS)
        self.output = nn.Linear(PENULTIMATE_WIDTH, tags)

    def forward(self, mels: Tensor) -> TaggerOutput:
        n, frames, bins = mels.shape
        mels = self.input_norm(mels.reshape(n, 1, frames * bins)).reshape(n, frames, bins)
        front = torch.cat([block(mels) for block in self.front], dim=1)
        states = self.middle[0](front)  # [N, C, F]
        features = [front, states]
        for layer in list(self.middle)[1:]:
            states = states + layer(states)
            features.append(states)
        joined = torch.cat(features, dim=1)  # [N, 753, F]
        # The published weights expect maximum and mean of each channel side by side.
        pooled = torch.stack([joined.amax(dim=2), joined.mean(dim=2)], dim=2).flatten(1)
        hidden = functional.relu(self.dense(self.pooled_norm(pooled)))
        penultimate = self.dense_norm(hidden)
        return TaggerOutput(self.output(penultimate), penultimate)


class _ConvNorm(nn.Module):
    """Convolution over time to the same length, ReLU, batch normalisation: [N, C, F]."""

    def __init__(self, channels: int, filters: int, frames: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, filters, frames)
        self.norm = nn.BatchNorm1d(filters, eps=BATCH_NORM_EPS)
        self.padding = _same_padding(frames)

    def forward(self, states: Tensor) -> Tensor:
        output: Tensor = self.norm(functional.relu(self.conv(functional.pad(states, self.padding))))
        return output


class FrontBlock(nn.Module):
    """Filters over `frames` x `bins` of the mel plane, the best position in frequency: [N, C, F].

    ReLU and normalisation move each channel's values in one direction, so they may follow the
    maximum (or the minimum, where the normalisation turns a channel over): a tenth of the work.
    """

    def __init__(self, filters: int, frames: int, bins: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, filters, (frames, bins))
        self.norm = nn.BatchNorm1d(filters, eps=BATCH_NORM_EPS)
        self.padding = (0, 0, *_same_padding(frames))

    def forward(self, mels: Tensor) -> Tensor:
        plane = functional.pad(mels, self.padding).unsqueeze(1)  # [N, 1, F, M]
        responses = self.conv(plane.contiguous(memory_format=torch.channels_last))
        rising = (self.norm.weight >= 0).unsqueeze(1)
        best = torch.where(rising, responses.amax(dim=3), responses.amin(dim=3))
        output: Tensor = self.norm(functional.relu(best))
        return output


def _same_padding(frames: int) -> tuple[int, int]:
    """Zeros before and after; an even window sees one frame more behind, as in TensorFlow."""
    return (frames - 1) // 2, frames // 2


def musicnn_from_tf(tensors: Mapping[str, NDArray[np.float32]]) -> Musicnn:
    """The network with the weights of a published checkpoint; KeyError where one is missing."""
    network = Musicnn(tags=len(tensors["dense_1/bias"]))
    return filled(network, dict(_state_from_tf(tensors)))


def filled(network: NetworkT, state: dict[str, Tensor]) -> NetworkT:
    """The network with all of its weights from `state`, in evaluation mode."""
    for name, value in network.state_dict().items():
        if name.endswith("num_batches_tracked"):  # torch's own counter, unused in evaluation
            state[name] = value
    network.load_state_dict(state, strict=True)
    return network.eval()


def norm_from_tf(
    tensors: Mapping[str, NDArray[np.float32]], name: str, number: int
) -> Iterator[tuple[str, Tensor]]:
    """The state of the batch normalisation `name`, from the `number`th of a checkpoint."""
    theirs = f"batch_normalization_{number}" if number else "batch_normalization"
    yield f"{name}.weight", torch.tensor(tensors[f"{theirs}/gamma"])
    yield f"{name}.bias", torch.tensor(tensors[f"{theirs}/beta"])
    yield f"{name}.running_mean", torch.tensor(tensors[f"{theirs}/moving_mean"])
    yield f"{name}.running_var", torch.tensor(tensors[f"{theirs}/moving_variance"])


def _state_from_tf(tensors: Mapping[str, NDArray[np.float32]]) -> Iterator[tuple[str, Tensor]]:
    convolutions = [f"front.{i}" for i in range(len(_FRONT_BLOCKS))]
    convolutions += [f"middle.{i}" for i in range(3)]
    norms = ["input_norm", *(f"{name}.norm" for name in convolutions), "pooled_norm", "dense_norm"]
    for i, name in enumerate(convolutions):
        theirs = "conv2d" if i == 0 else f"conv2d_{i}"
        kernel = torch.tensor(tensors[f"{theirs}/kernel"])  # [frames, bins, 1, filters]
        plane = kernel.permute(3, 2, 0, 1)
        # The middle layers see all bins at once: for them the bins are channels.
        weight = plane if name.startswith("front") else plane.squeeze(1).transpose(1, 2)
        yield f"{name}.conv.weight", weight.contiguous()
        yield f"{name}.conv.bias", torch.tensor(tensors[f"{theirs}/bias"])
    for i, name in enumerate(norms):
        yield from norm_from_tf(tensors, name, i)
    for ours, theirs in (("dense", "dense"), ("output", "dense_1")):
        yield f"{ours}.weight", torch.tensor(tensors[f"{theirs}/kernel"]).T.contiguous()
        yield f"{ours}.bias", torch.tensor(tensors[f"{theirs}/bias"])
