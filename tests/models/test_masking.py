"""Block masking, in the waveform and in its mel."""

from dataclasses import replace

import pytest
import torch

from models.audio.mel import LogMel
from models.networks.config import ConfigError, MaskingConfig, MuQConfig
from models.networks.masking import (
    MelMasking,
    block_size,
    draw_blocks,
    mask_waveform,
    token_mask,
)
from tests.models.shapes import noise, small_muq_config


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_block_is_400_ms_in_every_unit() -> None:
    size = block_size(MuQConfig())
    assert (size.samples, size.frames, size.tokens) == (9600, 40, 10)
    assert block_size(small_muq_config(label_rate_hz=50)).tokens == 20
    with pytest.raises(ConfigError, match="shorter than a token"):
        block_size(replace(MuQConfig(), masking=MaskingConfig(block_s=0.03)))


def test_only_chosen_blocks_of_the_waveform_are_replaced() -> None:
    audio = torch.ones(2, 9600 * 3 + 100)
    blocks = torch.tensor([[1, 0, 1], [0, 1, 0]], dtype=torch.bool)
    masked = mask_waveform(audio, MuQConfig(), seeded(), blocks)
    changed = masked.inputs != audio
    expected = blocks.repeat_interleave(9600, dim=1)
    assert torch.equal(changed[:, :-100], expected)
    assert not changed[:, -100:].any()
    assert masked.inputs[changed].std() == pytest.approx(0.1, rel=0.05)
    assert masked.inputs[changed].mean() == pytest.approx(0.0, abs=0.005)
    # 28,900 samples are 120 frames, thus 30 tokens, of which the blocks cover 10 each.
    assert torch.equal(masked.token_mask, blocks.repeat_interleave(10, dim=1))
    assert torch.equal(audio, torch.ones_like(audio))


def test_draws_are_repeatable_and_have_the_asked_probability() -> None:
    first, second = (draw_blocks(400, 75, 0.6, seeded(3)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.float().mean() == pytest.approx(0.6, abs=0.01)
    assert all(draw_blocks(1, 1, 0.01, seeded(seed)).any() for seed in range(20))
    with pytest.raises(ConfigError, match="shorter than one masked block"):
        draw_blocks(2, 0, 0.6)
    with pytest.raises(ConfigError, match="outside"):
        draw_blocks(2, 3, 0.0)


def test_a_tail_without_a_block_stays_visible() -> None:
    blocks = torch.tensor([[True, True]])
    assert token_mask(blocks, 10, 23).sum() == 20
    assert token_mask(blocks, 10, 15).sum() == 15


def test_only_chosen_blocks_of_the_mel_are_replaced() -> None:
    mel = torch.full((2, 128, 130), 5.0)
    blocks = torch.tensor([[1, 0, 1], [0, 0, 1]], dtype=torch.bool)
    masked = MelMasking(MuQConfig(), generator=seeded())(mel, seeded(), blocks)
    changed = (masked.inputs != mel).all(dim=1)
    assert torch.equal(changed[:, :120], blocks.repeat_interleave(40, dim=1))
    assert torch.equal(masked.inputs[:, :, 120:], mel[:, :, 120:])
    assert masked.token_mask.shape == (2, 33)
    assert torch.equal(masked.token_mask[:, :30], blocks.repeat_interleave(10, dim=1))
    assert torch.equal(mel, torch.full_like(mel, 5.0))


def test_both_maskings_hide_the_same_with_the_same_noise() -> None:
    """The mean and deviation of each mel bin inside masked blocks do not tell the two apart."""
    config = MuQConfig()
    audio = noise(16, 9600 * 10) * 3
    blocks = torch.zeros(16, 10, dtype=torch.bool)
    blocks[:, 1::2] = True
    front_end = LogMel(config.mel)
    by_wave = mask_waveform(audio, config, seeded(1), blocks)
    by_mel = MelMasking(config, generator=seeded(2))(front_end(audio), seeded(3), blocks)
    assert torch.equal(by_wave.token_mask, by_mel.token_mask)
    inner = torch.zeros(40, dtype=torch.bool)
    inner[6:-6] = True  # away from the edges, where the waveform's windows straddle
    frames = blocks.repeat_interleave(40, dim=1) & inner.repeat(10)
    left = front_end(by_wave.inputs).transpose(1, 2)[frames]
    right = by_mel.inputs.transpose(1, 2)[frames]
    assert left.shape == right.shape
    assert (left.mean(dim=0) - right.mean(dim=0)).abs().max() < 0.06
    assert (left.std(dim=0) - right.std(dim=0)).abs().max() < 0.06


def test_random_mel_masking_is_repeatable() -> None:
    mel = noise(3, 128, 400)
    masking = MelMasking(MuQConfig(), generator=seeded(1))
    first, second = masking(mel, seeded(5)), masking(mel, seeded(5))
    assert torch.equal(first.inputs, second.inputs)
    assert torch.equal(first.token_mask, second.token_mask)
    assert not torch.equal(masking(mel, seeded(6)).inputs, first.inputs)
