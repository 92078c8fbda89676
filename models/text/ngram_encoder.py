"""The multilingual sentence encoder: token table, n-gram convolutions, residual feed-forward net.

Legend: N texts, L tokens, D width of a token state, E width of a sentence embedding.

The network of Google's Universal Sentence Encoder Multilingual (v3, CNN; Yang et al. 2019),
written anew from its published graph: three stacks of two residual n-gram layers (2, 3 and 5
tokens) beside the token vectors themselves, one linear map, a sum over tokens divided by the
square root of their number, and a residual feed-forward net with a tanh at its end.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from models.networks.text_encoder import TextStates
from models.text.packed_embedding import PackedEmbedding

ARCHITECTURE = "ngram_text_encoder"
# (tokens in the window, how many of them lie to the left of the token itself)
WINDOWS = ((2, 0), (3, 1), (5, 2))
_NORM_EPS = 1e-12


@dataclass(frozen=True)
class NgramTextEncoderConfig:
    """Sizes of the network; the defaults are those of the published one, with a packed table."""

    vocab_size: int = 128_000
    width: int = 512
    branch_width: int = 256
    hidden_width: int = 320
    embed_dim: int = 512
    table_bits: int = 4


@dataclass(frozen=True)
class TextEncoding(TextStates):
    """Token states [N, L, D] (zero where masked) and the sentence embedding [N, E], unit norm."""

    pooled: Tensor


class NgramTextEncoder(nn.Module):
    """Encode token ids [N, L] with mask [N, L] (1 or True = a token; padding on the right).

    A text's result does not depend on the padding: masked positions are zero wherever a window
    can see them. Each text must have at least one token (the tokenizer always gives two).
    """

    def __init__(self, config: NgramTextEncoderConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding = PackedEmbedding(config.vocab_size, config.width, config.table_bits)
        self.branches = nn.ModuleList(
            _NgramBranch(config.width, config.branch_width, tokens, left)
            for tokens, left in WINDOWS
        )
        joined = config.width + len(WINDOWS) * config.branch_width
        self.norm = nn.LayerNorm(joined, eps=_NORM_EPS)
        self.state_projection = nn.Linear(joined, config.width)
        self.head = _ResidualHead(config.width, config.hidden_width, config.embed_dim)

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextEncoding:
        tokens = self.embedding(token_ids)  # [N, L, D]
        keep = mask.unsqueeze(-1).to(tokens.dtype)  # [N, L, 1]
        features = [tokens, *(branch(tokens, keep) for branch in self.branches)]
        states = self.state_projection(self.norm(torch.cat(features, dim=-1))) * keep
        count = keep.sum(dim=1).clamp(min=1.0)  # [N, 1]
        pooled = self.head(states.sum(dim=1) / count.sqrt())
        return TextEncoding(states, pooled)


class _NgramBranch(nn.Module):
    """Project the tokens, then two residual layers over windows of `tokens` tokens."""

    def __init__(self, width: int, branch_width: int, tokens: int, left: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, branch_width)
        self.norm = nn.LayerNorm(branch_width, eps=_NORM_EPS)
        self.layers = nn.ModuleList(
            nn.Linear(tokens * branch_width, branch_width) for _ in range(2)
        )
        self.tokens, self.left = tokens, left

    def forward(self, tokens: Tensor, keep: Tensor) -> Tensor:
        states: Tensor = self.norm(self.projection(tokens)) * keep
        for layer in self.layers:
            states = (states + functional.relu(layer(self._windows(states)))) * keep
        return states

    def _windows(self, states: Tensor) -> Tensor:
        """[N, L, C] to [N, L, tokens * C]; past the ends of the text a window sees zeros."""
        right = self.tokens - 1 - self.left
        padded = functional.pad(states, (0, 0, self.left, right))
        length = states.shape[1]
        return torch.cat([padded[:, i : i + length] for i in range(self.tokens)], dim=-1)


class _ResidualHead(nn.Module):
    """Four layers without bias, a projected shortcut around each two; unit norm at the end."""

    def __init__(self, width: int, hidden_width: int, embed_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            [
                nn.Linear(width, hidden_width, bias=False),
                nn.Linear(hidden_width, hidden_width, bias=False),
                nn.Linear(hidden_width, embed_dim, bias=False),
                nn.Linear(embed_dim, embed_dim, bias=False),
            ]
        )
        self.first_shortcut = nn.Linear(width, hidden_width, bias=False)
        self.second_shortcut = nn.Linear(hidden_width, embed_dim, bias=False)

    def forward(self, summed: Tensor) -> Tensor:
        first = functional.relu(self.layers[0](summed))
        second = functional.relu(self.first_shortcut(summed) + self.layers[1](first))
        third = functional.relu(self.layers[2](second))
        fourth = torch.tanh(self.second_shortcut(second) + self.layers[3](third))
        return functional.normalize(fourth, dim=-1, eps=1e-6)


def save_text_encoder(encoder: NgramTextEncoder, folder: Path, facts: dict[str, Any]) -> None:
    """Write config.json and model.safetensors; `facts` (source, languages) go into the config."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {name: tensor.contiguous() for name, tensor in encoder.state_dict().items()}
    save_file(tensors, folder / "model.safetensors")
    config = {"architecture": ARCHITECTURE, **asdict(encoder.config), **facts}
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def load_text_encoder(folder: Path) -> NgramTextEncoder:
    """The encoder of a folder, in evaluation mode; ValueError where it holds another network."""
    stored = json.loads((folder / "config.json").read_text())
    if stored.get("architecture") != ARCHITECTURE:
        raise ValueError(f"{folder.name}: architecture is {stored.get('architecture')!r}")
    sizes = {name: stored[name] for name in asdict(NgramTextEncoderConfig())}
    encoder = NgramTextEncoder(NgramTextEncoderConfig(**sizes))
    encoder.load_state_dict(load_file(folder / "model.safetensors"), strict=True)
    return encoder.eval()
