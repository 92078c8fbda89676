"""Text encoder: XLM-R and its relatives (RoBERTa, BERT), in our own code.

Legend: N texts, L tokens, D width, H heads, W width of a head.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.activation import make_activation
from models.networks.config import TextEncoderConfig


@dataclass(frozen=True)
class TextStates:
    """One vector a token, last_hidden_state [N, L, D]; those of padding mean nothing."""

    last_hidden_state: Tensor


class TextBackbone(Protocol):
    """Any module that a text tower can stand on.

    It must not let padding (mask [N, L] false) change the vectors of the other tokens.
    """

    def __call__(self, token_ids: Tensor, mask: Tensor) -> TextStates: ...


class TextEncoder(nn.Module):
    """Post-norm transformer encoder over learned embeddings of tokens and positions.

    Agrees with HF's XLMRobertaModel (without its pooler). Departure: positions are counted from
    the mask as well as from the padding token, so that padding of any kind leaves them alone.
    """

    def __init__(self, config: TextEncoderConfig | None = None) -> None:
        super().__init__()
        self.config = config or TextEncoderConfig()
        self.embeddings = TextEmbeddings(self.config)
        self.layers = nn.ModuleList(TextLayer(self.config) for _ in range(self.config.layers))

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextStates:
        """States of token ids [N, L]; mask [N, L] is true for tokens, false for padding.

        A text must not be longer than `config.max_tokens`; embedding a longer one fails.
        """
        states: Tensor = self.embeddings(token_ids, mask)
        for layer in self.layers:
            states = layer(states, mask)
        return TextStates(states)


class TextEmbeddings(nn.Module):
    """Token, position and type embeddings, summed and normed."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.pad_token_id = config.pad_token_id
        self.first_position = config.first_position
        self.tokens = nn.Embedding(config.vocab_size, config.width, padding_idx=config.pad_token_id)
        self.positions = nn.Embedding(config.max_positions, config.width)
        self.types = nn.Embedding(config.token_types, config.width)
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """[N, L] to [N, L, D]."""
        counted = (mask & (token_ids != self.pad_token_id)).long()
        # Tokens count from first_position; what is not counted sits just before it, as in XLM-R,
        # or at 0 where there is nothing before.
        positions = (counted.cumsum(dim=1) * counted + self.first_position - 1).clamp(min=0)
        summed = self.tokens(token_ids) + self.positions(positions) + self.types.weight[0]
        output: Tensor = self.dropout(self.norm(summed))
        return output


class TextLayer(nn.Module):
    """Attention and feed-forward, a norm after each residual: [N, L, D] to [N, L, D]."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.attention = TextSelfAttention(config)
        self.attention_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.expand = nn.Linear(config.width, config.feed_forward)
        self.activation = make_activation(config.activation)
        self.contract = nn.Linear(config.feed_forward, config.width)
        self.output_norm = nn.LayerNorm(config.width, eps=config.norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """[N, L, D] to [N, L, D]."""
        states = self.attention_norm(states + self.dropout(self.attention(states, mask)))
        widened = self.contract(self.activation(self.expand(states)))
        output: Tensor = self.output_norm(states + self.dropout(widened))
        return output


class TextSelfAttention(nn.Module):
    """Multi-head attention to the tokens that the mask allows."""

    def __init__(self, config: TextEncoderConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)
        self.dropout = config.attention_dropout

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """[N, L, D] to [N, L, D]."""
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(states)),
            self._split(self.key(states)),
            self._split(self.value(states)),
            attn_mask=mask[:, None, None, :],
            dropout_p=self.dropout if self.training else 0.0,
        )
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output

    def _split(self, states: Tensor) -> Tensor:
        """[N, L, D] to [N, H, L, W]."""
        return states.reshape(*states.shape[:2], self.heads, -1).transpose(1, 2)


def masked_mean(states: Tensor, mask: Tensor) -> Tensor:
    """Mean [N, D] of the states [N, L, D] whose mask [N, L] is true."""
    weights = mask.to(states.dtype).unsqueeze(-1)
    return torch.sum(states * weights, dim=1) / weights.sum(dim=1)
