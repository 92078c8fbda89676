"""Rotary conformer encoder with the semantics of wav2vec2-conformer, attention by torch's SDPA.

Legend: B batch, F frames, D width, H heads, W width of a head (D / H).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.activation import make_activation
from models.networks.config import ConformerConfig


@dataclass(frozen=True)
class Rotation:
    """Cosines and sines [F, W] of the rotary positions, in float32."""

    cosines: Tensor
    sines: Tensor


class Conformer(nn.Module):
    """States [B, F, D] to the hidden states of every layer.

    Agrees with HF's Wav2Vec2ConformerEncoder with rotary positions: pre-norm sub-blocks, two
    half-step feed-forwards, a norm at the end of each layer and one at the end of the encoder.
    """

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.config = config
        self.dropout = nn.Dropout(config.hidden_dropout)
        self.layers = nn.ModuleList(ConformerLayer(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.width, eps=config.norm_eps)

    def forward(self, states: Tensor) -> tuple[Tensor, ...]:
        """`layers + 1` hidden states [B, F, D].

        The first is the input (after dropout), the last has passed the encoder's norm; those
        between are the outputs of the layers before the last.
        """
        states = self.dropout(states)
        rotation = self._rotation(states)
        hidden_states = []
        for layer in self.layers:
            hidden_states.append(states)
            if not self._skips_a_layer():
                states = layer(states, rotation)
        hidden_states.append(self.norm(states))
        return tuple(hidden_states)

    def _rotation(self, states: Tensor) -> Rotation | None:
        if not self.config.rotary:
            return None
        head_width = self.config.width // self.config.heads
        return make_rotation(states.shape[1], head_width, self.config.rotary_base, states.device)

    def _skips_a_layer(self) -> bool:
        drop = self.config.layer_drop
        return self.training and drop > 0 and bool(torch.rand(()) < drop)


class ConformerLayer(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, norm; [B, F, D] throughout."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.ffn1_norm = nn.LayerNorm(config.width)
        self.ffn1 = FeedForward(config)
        self.attention_norm = nn.LayerNorm(config.width)
        self.attention = RotarySelfAttention(config)
        # As published, the sub-block's dropout takes its rate from attention_dropout.
        self.attention_dropout = nn.Dropout(config.attention_dropout)
        self.convolution = ConvolutionModule(config)
        self.ffn2_norm = nn.LayerNorm(config.width)
        self.ffn2 = FeedForward(config)
        self.final_norm = nn.LayerNorm(config.width)

    def forward(self, states: Tensor, rotation: Rotation | None) -> Tensor:
        """One layer."""
        states = states + 0.5 * self.ffn1(self.ffn1_norm(states))
        attended = self.attention(self.attention_norm(states), rotation)
        states = states + self.attention_dropout(attended)
        states = states + self.convolution(states)
        states = states + 0.5 * self.ffn2(self.ffn2_norm(states))
        output: Tensor = self.final_norm(states)
        return output


class FeedForward(nn.Module):
    """Widen, activate, narrow: [B, F, D] to [B, F, D]."""

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.expand = nn.Linear(config.width, config.feed_forward)
        self.activation = make_activation(config.activation)
        self.expand_dropout = nn.Dropout(config.activation_dropout)
        self.contract = nn.Linear(config.feed_forward, config.width)
        self.contract_dropout = nn.Dropout(config.hidden_dropout)

    def forward(self, states: Tensor) -> Tensor:
        """[B, F, D] to [B, F, D]."""
        widened = self.expand_dropout(self.activation(self.expand(states)))
        output: Tensor = self.contract_dropout(self.contract(widened))
        return output


class RotarySelfAttention(nn.Module):
    """Self-attention whose input is rotated before queries and keys are projected from it.

    Rotating the hidden states, not the queries and keys, is unusual; it is what wav2vec2-conformer
    does, and what published weights were trained with. Values are not rotated.
    """

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.query = nn.Linear(config.width, config.width)
        self.key = nn.Linear(config.width, config.width)
        self.value = nn.Linear(config.width, config.width)
        self.output = nn.Linear(config.width, config.width)
        self.dropout = config.attention_dropout

    def forward(self, states: Tensor, rotation: Rotation | None) -> Tensor:
        """[B, F, D] to [B, F, D]."""
        rotated = states if rotation is None else self._rotate(states, rotation)
        attended = functional.scaled_dot_product_attention(
            self._split(self.query(rotated)),
            self._split(self.key(rotated)),
            self._split(self.value(states)),
            dropout_p=self.dropout if self.training else 0.0,
        )
        output: Tensor = self.output(attended.transpose(1, 2).flatten(2))
        return output

    def _rotate(self, states: Tensor, rotation: Rotation) -> Tensor:
        heads = states.reshape(*states.shape[:2], self.heads, -1)
        first, second = heads.chunk(2, dim=-1)
        turned = torch.cat((-second, first), dim=-1)
        cosines = rotation.cosines[:, None].to(states.dtype)
        sines = rotation.sines[:, None].to(states.dtype)
        return (heads * cosines + turned * sines).flatten(-2)

    def _split(self, states: Tensor) -> Tensor:
        """[B, F, D] to [B, H, F, W]."""
        return states.reshape(*states.shape[:2], self.heads, -1).transpose(1, 2)


class ConvolutionModule(nn.Module):
    """Gated pointwise, depthwise and pointwise convolution over time: [B, F, D] to [B, F, D].

    The pointwise convolutions act on each frame by itself, so they are written as linear maps.
    """

    def __init__(self, config: ConformerConfig) -> None:
        super().__init__()
        width, kernel = config.width, config.depthwise_kernel
        self.norm = nn.LayerNorm(width)
        self.expand = nn.Linear(width, 2 * width, bias=False)
        self.depthwise = nn.Conv1d(
            width, width, kernel, padding=kernel // 2, groups=width, bias=False
        )
        self.batch_norm = nn.BatchNorm1d(width)
        self.activation = make_activation(config.activation)
        self.contract = nn.Linear(width, width, bias=False)
        self.dropout = nn.Dropout(config.conv_dropout)

    def forward(self, states: Tensor) -> Tensor:
        """[B, F, D] to [B, F, D]."""
        gated = functional.glu(self.expand(self.norm(states)), dim=-1)
        mixed = self.activation(self.batch_norm(self.depthwise(gated.transpose(1, 2))))
        output: Tensor = self.dropout(self.contract(mixed.transpose(1, 2)))
        return output


def make_rotation(frames: int, head_width: int, base: float, device: torch.device) -> Rotation:
    """Rotary angles of `frames` positions.

    They are computed in float32 when needed and never kept as a tensor of the network: casting
    the network to bfloat16 would round the frequencies by up to 0.4 %.
    """
    exponents = torch.arange(0, head_width, 2, dtype=torch.float32, device=device) / head_width
    frequencies = 1.0 / (base**exponents)
    positions = torch.arange(frames, dtype=torch.float32, device=device)
    angles = positions[:, None] * frequencies[None, :]
    angles = torch.cat((angles, angles), dim=-1)
    return Rotation(angles.cos(), angles.sin())
