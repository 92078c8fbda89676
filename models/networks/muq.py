"""MuQ: a self-supervised encoder of music, 25 (or 50) states a second.

Legend: B batch, T samples, M mel bins, F frames of mel, S states (tokens), D width,
Q codebooks, K codes per codebook, C channels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.audio.mel import LogMel
from models.networks.config import ConfigError, MuQConfig
from models.networks.conformer import Conformer
from models.networks.mel_rvq import MelRVQ, fold_frames


@dataclass(frozen=True)
class MuQOutput:
    """What MuQ makes of a batch.

    features [B, M, F] (normalised log-mel), conv_out [B, S, D], hidden_states (one [B, S, D] for
    the conformer's input and one for each layer), last_hidden_state [B, S, D],
    logits [B, S, Q * K] (codebook-major).
    """

    features: Tensor
    conv_out: Tensor
    hidden_states: tuple[Tensor, ...]
    last_hidden_state: Tensor
    logits: Tensor


class MuQ(nn.Module):
    """MuQ over audio [B, T] at 24 kHz, or over its normalised log-mel [B, M, F].

    Source: muq paper, section on the MuQ model; agrees with the published package in evaluation.
    Departures: NaN or infinite samples, empty audio and audio under 1,025 samples are refused;
    masking, targets and losses live in modules of their own.
    """

    def __init__(self, config: MuQConfig | None = None) -> None:
        super().__init__()
        self.config = config or MuQConfig()
        width = self.config.conformer.width
        self.front_end = LogMel(self.config.mel)
        self.stem = ConvStem(self.config)
        self.conformer = Conformer(self.config.conformer)
        self.head = nn.Linear(width, self.config.head_dim)
        self.rvq = MelRVQ(self.config.rvq) if self.config.rvq else None

    def forward(self, inputs: Tensor) -> MuQOutput:
        """Everything MuQ computes from audio [B, T] or from normalised log-mel [B, M, F].

        Raises InputError for audio that is empty, too short, not finite or not floating point.
        """
        features = self.features(inputs)
        conv_out: Tensor = self.stem(features)
        hidden_states: tuple[Tensor, ...] = self.conformer(conv_out)
        return MuQOutput(
            features=features,
            conv_out=conv_out,
            hidden_states=hidden_states,
            last_hidden_state=hidden_states[-1],
            logits=self.head(hidden_states[-1]),
        )

    def features(self, inputs: Tensor) -> Tensor:
        """Normalised log-mel [B, M, F] of audio [B, T]; such features pass through as they are."""
        if inputs.ndim == 3:
            return inputs
        if inputs.ndim != 2:
            raise ValueError(f"expected audio [B, T] or mel [B, M, F], not {tuple(inputs.shape)}")
        features: Tensor = self.front_end(inputs)
        return features

    def hidden_states(self, inputs: Tensor) -> tuple[Tensor, ...]:
        """The hidden states alone, each [B, S, D], without the cost of the prediction head."""
        hidden_states: tuple[Tensor, ...] = self.conformer(self.stem(self.features(inputs)))
        return hidden_states

    @torch.no_grad()
    def target_codes(self, inputs: Tensor) -> Tensor:
        """Codes [B, Q, S] that the head learns to predict, of clean audio [B, T] or mel [B, M, F].

        Raises ConfigError where the quantizer is missing or does not fit the head, ValueError
        where the frames do not divide into tokens.
        """
        if self.rvq is None:
            raise ConfigError("this MuQ was built without a target quantizer (rvq is None)")
        self.config.check_head_fits(self.rvq.config)
        stacked = fold_frames(self.features(inputs), self.config.frames_per_token)
        return self.rvq.encode(stacked)[:, : self.config.target_codebooks]

    def codebook_logits(self, logits: Tensor) -> Tensor:
        """Logits [B, S, Q * K] as [B, S, Q, K]."""
        return logits.reshape(*logits.shape[:2], self.config.target_codebooks, -1)


class ConvStem(nn.Module):
    """Two residual convolutions, then one vector a token: mel [B, M, F] to states [B, S, D]."""

    def __init__(self, config: MuQConfig) -> None:
        super().__init__()
        channels = config.conv_dim
        time_strides = {25: (2, 2), 50: (2, 1)}[config.label_rate_hz]
        self.blocks = nn.Sequential(
            ResidualConv(1, channels, (2, time_strides[0])),
            ResidualConv(channels, channels, (2, time_strides[1])),
        )
        bands = -(-config.mel.mel_bins // 4)
        self.projection = nn.Linear(channels * bands, config.conformer.width)

    def forward(self, features: Tensor) -> Tensor:
        """Mel [B, M, F] to states [B, S, D], S = ceil(F / frames per token)."""
        # The mel is float32 always; the network around it may not be.
        image = features[:, None].to(self.projection.weight.dtype)
        maps: Tensor = self.blocks(image)
        states: Tensor = self.projection(maps.permute(0, 3, 1, 2).flatten(2))
        return states


class ResidualConv(nn.Module):
    """Two 3x3 convolutions, the first strided, and a strided convolution around them."""

    def __init__(self, inputs: int, outputs: int, stride: tuple[int, int]) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride)
        self.norm1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(outputs)
        self.skip_conv = nn.Conv2d(inputs, outputs, 3, padding=1, stride=stride)
        self.skip_norm = nn.BatchNorm2d(outputs)

    def forward(self, image: Tensor) -> Tensor:
        """[B, C, M, F] to [B, C', M / stride, F / stride]."""
        inner = functional.relu(self.norm1(self.conv1(image)))
        inner = self.norm2(self.conv2(inner))
        return functional.relu(self.skip_norm(self.skip_conv(image)) + inner)
