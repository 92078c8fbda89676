"""The two log-mel front ends: against each other, and at the edges of what they accept."""

import subprocess
import sys

import numpy as np
import pytest
import torch

import models
from models.audio import mel_numpy
from models.audio.filterbank import mel_filterbank
from models.audio.mel import LogMel
from models.networks.config import MelConfig


def music_like(seconds: float, seed: int = 0, batch: int = 2) -> np.ndarray:
    """A few decaying partials over a noise floor, [B, T] at 24 kHz."""
    random = np.random.default_rng(seed)
    time_s = np.arange(int(seconds * 24_000)) / 24_000
    partials = sum(
        np.sin(2 * np.pi * 110.0 * k * time_s) * np.exp(-((time_s * 3) % 1)) / k
        for k in range(1, 12)
    )
    noise = random.standard_normal((batch, time_s.size))
    level = 10.0 ** random.uniform(-3, -1, (batch, 1))
    return (0.3 * partials[None] + level * noise).astype(np.float32)


@pytest.mark.parametrize("seconds", [0.05, 1.0, 3.337])
@pytest.mark.parametrize("config", [MelConfig(), MelConfig(hop_samples=480, mel_bins=64)])
def test_numpy_twin_agrees_after_normalisation(seconds: float, config: MelConfig) -> None:
    audio = music_like(seconds)
    expected = LogMel(config)(torch.from_numpy(audio)).numpy()
    actual = mel_numpy.log_mel(audio, config)
    assert actual.shape == (2, config.mel_bins, audio.shape[1] // config.hop_samples)
    assert actual.dtype == np.float32
    assert np.abs(actual - expected).max() < 1e-4


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_silence_and_constants_agree(level: float) -> None:
    audio = np.full((1, 24_000), level, dtype=np.float32)
    expected = LogMel()(torch.from_numpy(audio)).numpy()
    actual = mel_numpy.log_mel(audio)
    # Outside the lowest bands a constant leaves only rounding noise, which may differ.
    bands = slice(None) if level == 0.0 else slice(0, 2)
    assert np.abs(actual - expected)[:, bands].max() < 1e-4
    if level == 0.0:
        floor = (-100.0 - MelConfig().mean_db) / MelConfig().std_db
        assert np.allclose(actual, floor)


def test_a_second_is_a_hundred_frames() -> None:
    assert LogMel()(torch.zeros(1, 24_000)).shape == (1, 128, 100)
    assert LogMel()(torch.zeros(1, 24_239)).shape == (1, 128, 100)
    assert LogMel()(torch.zeros(1, 24_240)).shape == (1, 128, 101)


def test_every_filter_has_weight_and_neighbours_share_bins() -> None:
    filters = mel_filterbank(MelConfig())
    assert filters.shape == (1025, 128)
    assert filters.dtype == np.float32
    assert (filters.max(axis=0) > 0).all()
    assert filters.max() <= 1.0
    assert ((filters > 0).sum(axis=1) <= 2).all()


def test_precision_of_the_network_does_not_touch_the_mel() -> None:
    audio = torch.from_numpy(music_like(1.0))
    front_end = LogMel()
    expected = front_end(audio)
    assert torch.equal(front_end.to(torch.bfloat16)(audio), expected)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(front_end(audio), expected)
    assert front_end(audio.to(torch.bfloat16)).dtype == torch.float32
    assert not front_end.state_dict()


def broken_audio() -> list[tuple[str, np.ndarray]]:
    clean = music_like(0.5)
    nan, infinite = clean.copy(), clean.copy()
    nan[1, 77], infinite[0, -1] = np.nan, -np.inf
    return [
        ("NaN or infinite", nan),
        ("NaN or infinite", infinite),
        ("empty", clean[:, :0]),
        ("too short: 1025", clean[:, :1024]),
        ("floating point", (clean * 1000).astype(np.int16)),
    ]


@pytest.mark.parametrize(("message", "audio"), broken_audio())
def test_unusable_audio_is_refused(message: str, audio: np.ndarray) -> None:
    with pytest.raises(ValueError, match=message):
        mel_numpy.log_mel(audio)
    with pytest.raises(ValueError, match=message):
        LogMel()(torch.from_numpy(audio))


def test_loud_finite_audio_is_not_refused() -> None:
    loud = np.full((1, 2400), 1e30, dtype=np.float32)
    loud[0, ::2] *= -1
    mel_numpy.check_audio(loud, 1025)


def test_odd_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\[B, T\]"):
        mel_numpy.log_mel(np.zeros(24_000, dtype=np.float32))


def test_the_numpy_twin_needs_no_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import models, numpy\n"
        "from models.audio.mel_numpy import log_mel\n"
        "assert log_mel(numpy.zeros((1, 24000), numpy.float32)).shape == (1, 128, 100)\n"
        "assert 'load_published' in dir(models)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'load_nothing'"):
        _ = models.load_nothing
