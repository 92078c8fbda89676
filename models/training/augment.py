"""Augmentations of log-mel crops: level, equaliser, noise, what a lossy codec leaves out, masks.

Legend: B batch, M mel bins, F frames, K knots of an equaliser curve.

All act on normalised log-mels, so that cached frames can be varied: a gain is a shift, an equaliser
one shift per bin, noise an addition of powers. What needs the waveform (room, other artefacts of a
codec) belongs into the corpus, before the cache.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio.filterbank import mel_frequencies_hz
from models.networks.config import MelConfig
from models.training.mel_cache import STEP

FRAME_RATE_HZ = 100
_MEL = MelConfig()
_FLOOR = float((-100.0 - _MEL.mean_db) / _MEL.std_db)
# Anything stored within half an int8 step of the floor is the floor: silence has no level to raise.
_FLOOR_REACH = _FLOOR + STEP / 2 + 1e-4
_EQ_KNOTS = 6
_QUIETEST_NOISE_DB = 45.0
# How far below its frame's loudest bin a sound lies that an encoder at 64 kbit/s does not spend
# bits on, and from where upwards: seen on ten recordings before and after.
_UNHEARD_DB = (30.0, 65.0)
_UNHEARD_HZ = 4000.0


@dataclass(frozen=True)
class AugmentConfig:
    """What is done to a crop after it is read; all zero leaves it as it is.

    `gain_db` and `tilt_db` are the largest shift up or down: one for all bins, and one that grows
    linearly from the lowest to the highest bin; `eq_db` the largest at each of six knots of a
    curve between them. `noise_chance` of the crops get noise, white to pink, at a power that is
    `noise_snr_db` to 45 dB below the crop's own. `low_pass_chance` of them lose all above a cutoff
    between `low_pass_hz` and the top, and `holes_chance` of them every frame's quiet bins above
    4 kHz, as lossy codecs do. Masks are SpecAugment's: `time_masks`
    stretches of up to `time_mask_s`, `band_masks` bands of up to `band_mask_bins`, set to the
    crop's mean.
    """

    gain_db: float = 0.0
    tilt_db: float = 0.0
    eq_db: float = 0.0
    noise_chance: float = 0.0
    noise_snr_db: float = 10.0
    low_pass_chance: float = 0.0
    low_pass_hz: float = 4000.0
    holes_chance: float = 0.0
    time_masks: int = 0
    time_mask_s: float = 0.3
    band_masks: int = 0
    band_mask_bins: int = 16

    def __post_init__(self) -> None:
        sizes = (self.gain_db, self.tilt_db, self.eq_db, self.time_masks, self.band_masks)
        if min(sizes) < 0:
            raise ValueError("augmentations are sizes, not directions: none may be negative")
        chances = (self.noise_chance, self.low_pass_chance, self.holes_chance)
        if not all(0 <= chance <= 1 for chance in chances):
            raise ValueError("chances of an augmentation lie between 0 and 1")
        if not 0 < self.noise_snr_db <= _QUIETEST_NOISE_DB or self.low_pass_hz <= 0:
            raise ValueError("noise must lie 0 to 45 dB below the music, a cutoff above 0 Hz")


@dataclass(frozen=True)
class BatchPart:
    """Rows `first` to `stop` of a batch of `of`."""

    first: int
    stop: int
    of: int

    @property
    def rows(self) -> slice:
        return slice(self.first, self.stop)


def augment(
    mels: Tensor, config: AugmentConfig, seed: int, position: int, part: BatchPart | None = None
) -> Tensor:
    """Return augmented copies of crops [B, M, F], drawn from the seed and the position alone.

    Draws are made for the whole batch of which the crops are a `part`, so that they do not depend
    on how it is split.
    """
    part = part or BatchPart(0, len(mels), len(mels))
    rng = np.random.default_rng([seed, position, 2])
    bins = mels.shape[1]
    gain_db = rng.uniform(-config.gain_db, config.gain_db, (part.of, 1))
    tilt_db = rng.uniform(-config.tilt_db, config.tilt_db, (part.of, 1)) * np.linspace(-1, 1, bins)
    # A stream of its own, so that runs without these draw what they always drew.
    more = np.random.default_rng([seed, position, 8])
    shift_db = gain_db + tilt_db + _equaliser_db(more, config.eq_db, part.of, bins)
    noise_db = _noise_db(more, config, part.of, bins)
    cutoffs = _cutoff_bins(more, config, part.of)
    holes_db = _holes_db(more, config, part.of)
    result = shift_level(mels, _rows(shift_db, part, mels))
    if config.noise_chance:
        result = add_noise(result, _rows(noise_db, part, mels))
    for row in np.flatnonzero(cutoffs[part.rows] < bins) if config.low_pass_chance else ():
        result[row, int(cutoffs[part.rows][row]) :] = _FLOOR
    if config.holes_chance:
        result = cut_holes(result, _rows(holes_db, part, mels))
    return _mask(result, config, rng, part)


def shift_level(mels: Tensor, shift_db: Tensor | float) -> Tensor:
    """Return mels [B, M, F] louder or quieter by some dB, as the audio would be.

    Values at the floor stay there: digital silence does not get louder, and nothing falls below
    what the front end can give.
    """
    shifted = torch.clamp(mels + shift_db / _MEL.std_db, min=_FLOOR)
    return torch.where(mels <= _FLOOR_REACH, mels, shifted)


def add_noise(mels: Tensor, noise_db: Tensor) -> Tensor:
    """Return mels [B, M, F] with stationary noise: its power in dB relative to the crop's mean
    power, per bin [B, M, 1]; minus infinity adds none.
    """
    power = torch.pow(10.0, (mels * _MEL.std_db + _MEL.mean_db) / 10.0)
    level = power.mean(dim=(1, 2), keepdim=True)
    noisy = 10.0 * torch.log10(power + level * torch.pow(10.0, noise_db / 10.0))
    return (noisy - _MEL.mean_db) / _MEL.std_db


def cut_holes(mels: Tensor, depth_db: Tensor) -> Tensor:
    """Return mels [B, M, F] without what lies above 4 kHz and more than `depth_db` [B, 1, 1] below
    the frame's loudest bin: an encoder with few bits leaves it out. Infinity cuts nothing.
    """
    loudest = mels.amax(dim=1, keepdim=True)
    high = torch.from_numpy(mel_frequencies_hz(_MEL) >= _UNHEARD_HZ).to(mels.device)[None, :, None]
    return mels.masked_fill(high & (mels < loudest - depth_db / _MEL.std_db), _FLOOR)


def _rows(values: NDArray[np.float64], part: BatchPart, mels: Tensor) -> Tensor:
    return torch.from_numpy(values[part.rows].astype(np.float32)).to(mels.device)[:, :, None]


def _equaliser_db(
    rng: np.random.Generator, most_db: float, count: int, bins: int
) -> NDArray[np.float64]:
    knots = rng.uniform(-most_db, most_db, (count, _EQ_KNOTS))
    places = np.linspace(0, _EQ_KNOTS - 1, bins)
    return np.stack([np.interp(places, np.arange(_EQ_KNOTS), curve) for curve in knots])


def _noise_db(
    rng: np.random.Generator, config: AugmentConfig, count: int, bins: int
) -> NDArray[np.float64]:
    """Power per bin in dB [B, M] below the music's: flat in power per hertz, or falling."""
    chosen = rng.random((count, 1)) < config.noise_chance
    level_db = -rng.uniform(config.noise_snr_db, _QUIETEST_NOISE_DB, (count, 1))
    slope = rng.uniform(0.0, 1.0, (count, 1))
    # Mel bins widen with frequency: white noise rises along them, pink is about flat.
    centres_hz = mel_frequencies_hz(_MEL)
    rise_db = 10 * np.log10(centres_hz / np.exp(np.log(centres_hz).mean()))
    return np.where(chosen, level_db + slope * rise_db[:bins], -np.inf)


def _cutoff_bins(rng: np.random.Generator, config: AugmentConfig, count: int) -> NDArray[np.int64]:
    chosen = rng.random(count) < config.low_pass_chance
    centres_hz = mel_frequencies_hz(_MEL)
    top_hz = float(centres_hz[-1])
    cutoff_hz = rng.uniform(min(config.low_pass_hz, top_hz), top_hz, count)
    bins = np.searchsorted(centres_hz, cutoff_hz)
    return np.where(chosen, bins, len(centres_hz)).astype(np.int64)


def _holes_db(rng: np.random.Generator, config: AugmentConfig, count: int) -> NDArray[np.float64]:
    chosen = rng.random((count, 1)) < config.holes_chance
    return np.where(chosen, rng.uniform(*_UNHEARD_DB, (count, 1)), np.inf)


def _mask(
    result: Tensor, config: AugmentConfig, rng: np.random.Generator, part: BatchPart
) -> Tensor:
    _, bins, frames = result.shape
    longest = round(config.time_mask_s * FRAME_RATE_HZ)
    for row in range(part.of if config.time_masks or config.band_masks else 0):
        times = [_stretch(rng, frames, longest) for _ in range(config.time_masks)]
        bands = [_stretch(rng, bins, config.band_mask_bins) for _ in range(config.band_masks)]
        if part.first <= row < part.stop:
            crop = result[row - part.first]
            mean = crop.mean()
            for low, high in times:
                crop[:, low:high] = mean
            for low, high in bands:
                crop[low:high] = mean
    return result


def _stretch(rng: np.random.Generator, size: int, longest: int) -> tuple[int, int]:
    length = int(rng.integers(0, min(longest, size) + 1))
    start = int(rng.integers(0, size - length + 1))
    return start, start + length
