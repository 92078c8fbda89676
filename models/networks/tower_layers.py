"""The layers that a MuQ-MuLan tower puts on its encoder's states.

Legend: B batch, L positions (tokens or states), D width, H heads, W width of a head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import TransformerConfig
from models.networks.weight_norm import unit

# Queries and keys have length 1, so their products are cosines; this spreads them for the softmax.
COSINE_SCALE = 8.0


class TowerTransformer(nn.Module):
    """Pre-norm layers without positions or biases: [B, L, D] to [B, L, D]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TowerLayer(config) for _ in range(config.depth))

    def forward(self, states: Tensor, mask: Tensor | None = None) -> Tensor:
        """`mask` [B, L] is true where a position is real; nothing attends to the others."""
        for layer in self.layers:
            states = layer(states, mask)
        return states


class TowerLayer(nn.Module):
    """Attention and a gated feed-forward, each around a residual."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.attention = CosineAttention(config)
        self.feed_forward = GatedFeedForward(config)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """[B, L, D] to [B, L, D]."""
        states = states + self.attention(states, mask)
        output: Tensor = states + self.feed_forward(states)
        return output


class CosineAttention(nn.Module):
    """Self-attention of normalised queries and keys with learned scales, as published."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        inner = config.heads * config.head_dim
        self.heads = config.heads
        self.norm = nn.LayerNorm(config.dim, bias=False)
        self.query = nn.Linear(config.dim, inner, bias=False)
        self.key_value = nn.Linear(config.dim, 2 * inner, bias=False)
        self.query_scale = nn.Parameter(torch.ones(config.head_dim))
        self.key_scale = nn.Parameter(torch.ones(config.head_dim))
        self.output = nn.Linear(inner, config.dim, bias=False)
        self.attention_dropout = config.attention_dropout
        self.output_dropout = nn.Dropout(config.attention_dropout)

    def forward(self, states: Tensor, mask: Tensor | None) -> Tensor:
        """[B, L, D] to [B, L, D]."""
        states = self.norm(states)
        key, value = self.key_value(states).chunk(2, dim=-1)
        attended = functional.scaled_dot_product_attention(
            unit(self._split(self.query(states))) * self.query_scale,
            unit(self._split(key)) * self.key_scale,
            self._split(value),
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.attention_dropout if self.training else 0.0,
            scale=COSINE_SCALE,
        )
        output: Tensor = self.output_dropout(self.output(attended.transpose(1, 2).flatten(2)))
        return output

    def _split(self, states: Tensor) -> Tensor:
        """[B, L, H * W] to [B, H, L, W]."""
        return states.reshape(*states.shape[:2], self.heads, -1).transpose(1, 2)


class GatedFeedForward(nn.Module):
    """Norm, GEGLU, narrow: [B, L, D] to [B, L, D]."""

    def __init__(self, config: TransformerConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(config.dim, bias=False)
        self.expand = nn.Linear(config.dim, 2 * config.feed_forward, bias=False)
        self.dropout = nn.Dropout(config.feed_forward_dropout)
        self.contract = nn.Linear(config.feed_forward, config.dim, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """[B, L, D] to [B, L, D]."""
        values, gates = self.expand(self.norm(states)).chunk(2, dim=-1)
        output: Tensor = self.contract(self.dropout(values * functional.gelu(gates)))
        return output
