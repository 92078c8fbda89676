"""A text encoder of random weights in the layout in which Hugging Face keeps XLM-R."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file

from models.networks.config import TextEncoderConfig
from models.networks.text_encoder import TextEncoder
from models.published_config import write_text
from models.published_names import text_name

SIZES = TextEncoderConfig(
    vocab_size=260, width=12, layers=1, heads=2, feed_forward=16, max_positions=130
)


def make_pretrained(folder: Path, tokenizer: Path, prefix: str = "roberta.") -> TextEncoder:
    """Write config, weights (under a model's name, beside its head) and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    encoder = TextEncoder(SIZES)
    tensors = {prefix + text_name(name): value for name, value in encoder.state_dict().items()}
    tensors[prefix + "pooler.dense.weight"] = torch.zeros(12, 12)
    tensors["lm_head.bias"] = torch.zeros(260)
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()},
              folder / "model.safetensors")  # fmt: skip
    (folder / "config.json").write_text(json.dumps(write_text(SIZES)))
    shutil.copyfile(tokenizer, folder / "tokenizer.json")
    return encoder
