"""A pretrained text encoder in Hugging Face's layout, read into our own: XLM-R, RoBERTa, BERT."""

from __future__ import annotations

import json
import re
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor

from models.networks.config import TextEncoderConfig
from models.networks.text_encoder import TextEncoder
from models.published_config import read_text
from models.published_names import text_name

# Encoders are also stored inside a model for another task, under its name, beside its head.
_PREFIX = re.compile(r"^(roberta|bert|xlm_roberta)\.")
_NOT_THE_ENCODER = re.compile(
    r"^(pooler|lm_head|cls|classifier)\.|^embeddings\.(position_ids|token_type_ids)$"
)


class TextFolderError(ValueError):
    """A folder holds no text encoder that can be read, or one that does not fit its config."""


def read_pretrained_config(folder: Path) -> TextEncoderConfig:
    """Read the shape of the encoder in `folder` from its config.json."""
    path = folder / "config.json"
    if not path.is_file():
        raise TextFolderError(f"{path} does not exist")
    return read_text(json.loads(path.read_text("utf-8")))


def load_pretrained(folder: Path) -> TextEncoder:
    """Load config.json and model.safetensors of a folder, strictly, in evaluation mode.

    Heads and poolers are left out. Raises TextFolderError, which names tensors that are missing
    or unexpected; pickled weights are not read.
    """
    encoder = TextEncoder(read_pretrained_config(folder))
    path = folder / "model.safetensors"
    if not path.is_file():
        raise TextFolderError(f"{path} does not exist (pickled weights are never loaded)")
    found = _encoder_tensors(load_file(path))
    names = {text_name(name): name for name in encoder.state_dict()}
    missing, unexpected = sorted(set(names) - set(found)), sorted(set(found) - set(names))
    if missing or unexpected:
        raise TextFolderError(
            f"{path} does not fit its config: missing {missing[:5]}, unexpected {unexpected[:5]}"
        )
    encoder.load_state_dict({names[name]: tensor.float() for name, tensor in found.items()})
    return encoder.eval()


def _encoder_tensors(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    if any(_PREFIX.match(name) for name in stored):
        stored = {name: tensor for name, tensor in stored.items() if _PREFIX.match(name)}
    tensors = {_PREFIX.sub("", name): tensor for name, tensor in stored.items()}
    return {name: t for name, t in tensors.items() if not _NOT_THE_ENCODER.match(name)}
