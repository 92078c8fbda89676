"""Hiding blocks of the input from MuQ, in the waveform or in its log-mel.

Legend: B batch, T samples, M mel bins, F frames of mel, S tokens, N blocks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from models.audio.mel import LogMel
from models.networks.config import MuQConfig, require


@dataclass(frozen=True)
class MaskedInput:
    """The masked input (of the input's shape), and which tokens [B, S] are to be predicted."""

    inputs: Tensor
    token_mask: Tensor


@dataclass(frozen=True)
class BlockSize:
    """One masked block in samples, in mel frames and in tokens."""

    samples: int
    frames: int
    tokens: int


def block_size(config: MuQConfig) -> BlockSize:
    """The size of a masked block; 400 ms are 9,600 samples, 40 frames and 10 tokens.

    Departure: the published code counts tokens for 25 Hz even where the labels run at 50 Hz.
    """
    mel, seconds = config.mel, config.masking.block_s
    tokens = int(mel.frame_rate_hz / config.frames_per_token * seconds)
    require(tokens >= 1, f"a masked block of {seconds} s is shorter than a token")
    frames = int(mel.frame_rate_hz * seconds)
    return BlockSize(int(mel.sample_rate_hz * seconds), frames, tokens)


def draw_blocks(
    batch: int, blocks: int, probability: float, generator: torch.Generator | None = None
) -> Tensor:
    """Which blocks [B, N] to mask, each by itself with this probability, at least one in all.

    Departure: the published code allows a batch without any masked block, whose loss is NaN; here
    such a draw, possible only for tiny batches, is drawn again.
    """
    require(blocks >= 1, "the input is shorter than one masked block")
    require(0 < probability <= 1, f"mask probability {probability} is outside (0, 1]")
    while True:
        chosen = torch.rand(batch, blocks, generator=generator) < probability
        if bool(chosen.any()):
            return chosen


def token_mask(blocks: Tensor, tokens_per_block: int, tokens: int) -> Tensor:
    """Blocks [B, N] as a mask [B, S] over `tokens` tokens; a tail without a block stays visible."""
    covered = blocks.repeat_interleave(tokens_per_block, dim=1)
    mask = torch.zeros(len(blocks), tokens, dtype=torch.bool, device=blocks.device)
    shared = min(tokens, covered.shape[1])
    mask[:, :shared] = covered[:, :shared]
    return mask


def mask_waveform(
    audio: Tensor,
    config: MuQConfig,
    generator: torch.Generator | None = None,
    blocks: Tensor | None = None,
) -> MaskedInput:
    """Replace random blocks of audio [B, T] by Gaussian noise, as MuQ is pre-trained.

    `blocks` [B, N] chooses them instead. `generator`, where given, is a CPU one.
    """
    size = block_size(config)
    count = audio.shape[1] // size.samples
    if blocks is None:
        blocks = draw_blocks(len(audio), count, config.masking.probability, generator)
    blocks = blocks.to(audio.device)
    noise = torch.randn(audio.shape, generator=generator) * config.masking.noise_std
    hidden = token_mask(blocks, size.samples, audio.shape[1])
    masked = torch.where(hidden, noise.to(audio), audio)
    frames = audio.shape[1] // config.mel.hop_samples
    tokens = -(-frames // config.frames_per_token)
    return MaskedInput(masked, token_mask(blocks, size.tokens, tokens))


@dataclass(frozen=True)
class MaskPlan:
    """Which blocks to mask [B, N], and where in the noise each one's filling starts [B, N, 1]."""

    blocks: Tensor
    noise_starts: Tensor

    def rows(self, rows: slice) -> "MaskPlan":
        """The plan of a part of the batch."""
        return MaskPlan(self.blocks[rows], self.noise_starts[rows])


class MelMasking:
    """Block masking of normalised log-mel [B, M, F], for training on mels that were computed once.

    The same blocks as `mask_waveform`, filled with stretches of the log-mel of the same Gaussian
    noise. It differs in one thing: no window of the transform straddles a block's edge, so that
    the four frames on either side are purer than those of a masked waveform.
    """

    def __init__(
        self, config: MuQConfig, noise_s: float = 30.0, generator: torch.Generator | None = None
    ) -> None:
        self.config = config
        self.size = block_size(config)
        samples = int(noise_s * config.mel.sample_rate_hz)
        noise = torch.randn(1, samples, generator=generator) * config.masking.noise_std
        # [M, F] of noise; the frames at its ends hold reflected samples and are left out.
        self.noise = LogMel(config.mel)(noise)[0, :, 8:-8]
        require(self.noise.shape[1] >= self.size.frames, "noise_s is shorter than a block")

    def __call__(
        self,
        mel: Tensor,
        generator: torch.Generator | None = None,
        blocks: Tensor | None = None,
    ) -> MaskedInput:
        """Replace random blocks of mel [B, M, F]; `blocks` [B, N] chooses them instead."""
        return self.apply(mel, self.draw(len(mel), mel.shape[2], generator, blocks))

    def draw(
        self,
        batch: int,
        frames: int,
        generator: torch.Generator | None = None,
        blocks: Tensor | None = None,
    ) -> MaskPlan:
        """Draw what will be done to a batch of so many crops of so many frames."""
        if blocks is None:
            count = frames // self.size.frames
            blocks = draw_blocks(batch, count, self.config.masking.probability, generator)
        last = self.noise.shape[1] - self.size.frames
        shape = (batch, blocks.shape[1], 1)
        return MaskPlan(blocks, torch.randint(0, last + 1, shape, generator=generator))

    def apply(self, mel: Tensor, plan: MaskPlan) -> MaskedInput:
        """Replace the planned blocks of mel [B, M, F]."""
        frames = mel.shape[2]
        blocks = plan.blocks.to(mel.device)
        hidden = token_mask(blocks, self.size.frames, frames)
        masked = torch.where(hidden[:, None], self._filling(plan, frames).to(mel), mel)
        tokens = -(-frames // self.config.frames_per_token)
        return MaskedInput(masked, token_mask(blocks, self.size.tokens, tokens))

    def _filling(self, plan: MaskPlan, frames: int) -> Tensor:
        """Noise [B, M, F]: for each block a stretch of the noise that starts at random."""
        index = (plan.noise_starts + torch.arange(self.size.frames)).flatten(1)
        filling = self.noise[:, index].transpose(0, 1)
        return torch.nn.functional.pad(filling, (0, frames - filling.shape[2]))
