"""Tensors of published checkpoints that no computation reads: which, why, and how they look.

These alone may be skipped when a checkpoint is loaded. When one is written, neutral values stand
in for them, so that the file has every tensor that the published packages expect.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from models.networks.config import ConformerConfig, MuQConfig, MuQMuLanConfig, TextEncoderConfig


@dataclass(frozen=True)
class UnusedTensor:
    """Names that match `pattern` in full may be skipped, because of `reason`."""

    pattern: str
    reason: str

    def matches(self, name: str) -> bool:
        return re.fullmatch(self.pattern, name) is not None


_ANY_MUQ = r"(mulan\.audio\.model\.)?model\."

UNUSED_TENSORS = (
    UnusedTensor(_ANY_MUQ + r"cls_token", "made for classification, read by nothing"),
    UnusedTensor(
        _ANY_MUQ + r"conformer\.pos_conv_embed\..+",
        "the conformer's convolutional positions are built but never called",
    ),
    UnusedTensor(
        _ANY_MUQ + r"conformer\.embed_positions\.inv_freq",
        "follows from the configuration; computed, not loaded, and compared on loading",
    ),
    UnusedTensor(
        _ANY_MUQ + r"quantizer_melspec_2048\..+",
        "fixed random projection that makes targets for the random-projection baseline only",
    ),
    UnusedTensor(r"mulan\.audio\.aggregator\..+", "a convolution that is built but never called"),
    UnusedTensor(
        r"(mulan\.text\.model\.)?pooler\..+", "the towers read the tokens' states, not the pooler's"
    ),
    UnusedTensor(
        r"(mulan\.text\.model\.)?embeddings\.(position_ids|token_type_ids)",
        "counting tables that older versions of the text encoder stored",
    ),
)


def is_unused(name: str) -> bool:
    """Whether a checkpoint's tensor of this name is known to be read by nothing."""
    return any(unused.matches(name) for unused in UNUSED_TENSORS)


def check_derived(found: Mapping[str, Tensor], config: ConformerConfig) -> str | None:
    """What is wrong with the rotary frequencies that a checkpoint stores, or None."""
    for name, tensor in found.items():
        if name.endswith("conformer.embed_positions.inv_freq"):
            expected = rotary_frequencies(config)
            if tensor.shape != expected.shape or not torch.allclose(
                tensor.float(), expected, rtol=1e-3, atol=0.0
            ):
                return f"{name} does not follow from the configured base {config.rotary_base}"
    return None


def rotary_frequencies(config: ConformerConfig) -> Tensor:
    """Angular frequency of each pair of a head's values."""
    width = config.width // config.heads
    return 1.0 / (config.rotary_base ** (torch.arange(0, width, 2, dtype=torch.float32) / width))


def muq_placeholders(config: MuQConfig) -> dict[str, Tensor]:
    """The tensors that a published MuQ has besides ours, with neutral values."""
    conformer = config.conformer
    width, kernel = conformer.width, conformer.position_kernel
    position = "model.conformer.pos_conv_embed.conv"
    placeholders = {
        "model.cls_token": torch.zeros(width),
        f"{position}.bias": torch.zeros(width),
        # Length 0 along direction 1: a convolution by zero whose weight norm is still defined.
        f"{position}.parametrizations.weight.original0": torch.zeros(1, 1, kernel),
        f"{position}.parametrizations.weight.original1": torch.ones(
            width, width // conformer.position_groups, kernel
        ),
    }
    if conformer.rotary:
        placeholders["model.conformer.embed_positions.inv_freq"] = rotary_frequencies(conformer)
    return placeholders


def text_placeholders(config: TextEncoderConfig) -> dict[str, Tensor]:
    """The tensors that HF's text encoder has besides ours, with neutral values."""
    return {
        "pooler.dense.weight": torch.zeros(config.width, config.width),
        "pooler.dense.bias": torch.zeros(config.width),
    }


def mulan_placeholders(config: MuQMuLanConfig) -> dict[str, Tensor]:
    """The tensors that a published MuQ-MuLan has besides ours, with neutral values."""
    placeholders = {
        "mulan.audio.aggregator.weight": torch.zeros(1, 25, 1),
        "mulan.audio.aggregator.bias": torch.zeros(1),
    }
    for name, tensor in muq_placeholders(config.muq).items():
        placeholders[f"mulan.audio.model.{name}"] = tensor
    if config.text is not None:
        for name, tensor in text_placeholders(config.text).items():
            placeholders[f"mulan.text.model.{name}"] = tensor
    return placeholders
