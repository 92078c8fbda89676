"""The one fake encoder of all tests: weightless, deterministic, and meaningful enough to search.

Similar audio has similar vectors (coarse energies of log-spaced bands). A text is a sum over its
words: "low", "middle" and "high" lie where tones of 150 Hz, 1 kHz and 5 kHz lie, "noise" where
white noise lies; every other word gets a direction of its own, away from all audio.

Legend: N items, T samples, E embedding width, B bands.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Sequence
from functools import cache

import numpy as np

from models.errors import NonFiniteAudioError, TextTooLongError
from models.interface import TrackEmbedding, Vectors
from service.audio.clips import cut_clips

BANDS = 16
WORDS = 16
EMBED_DIM = BANDS + WORDS
MODEL_ID = "fake-1"
SAMPLE_RATE_HZ = 24_000
CLIP_S = 10.0
MAX_WORDS = 64
TONES_HZ = {"low": 150.0, "middle": 1000.0, "high": 5000.0}
POISON = "poison"


class FakeEncoder:
    """A MusicTextEncoder without weights.

    The text "poison" makes its batch fail. `text_calls` and `clip_calls` record batch sizes,
    `entered` counts calls begun. `gate`, while cleared, holds every call up; `clip_delay_s` makes
    each clip batch that slow.
    """

    name = "fake"
    embed_dim = EMBED_DIM
    languages = ("en", "zh")
    licence = "CC0-1.0"
    runtime = "numpy"
    device = "cpu"
    tag_templates = ("{label}", "a sound of {label}")

    def __init__(
        self,
        *,
        model_id: str = MODEL_ID,
        sample_rate_hz: int = SAMPLE_RATE_HZ,
        clip_s: float = CLIP_S,
        clip_delay_s: float = 0.0,
    ) -> None:
        self.model_id = model_id
        self.sample_rate_hz = sample_rate_hz
        self.clip_s = clip_s
        self.clip_delay_s = clip_delay_s
        self.gate = threading.Event()
        self.gate.set()
        self.entered = 0
        self.text_calls: list[int] = []
        self.clip_calls: list[int] = []

    @property
    def reference(self) -> Vectors:
        return _reference()

    def tag_probability(self, relevance: float) -> float | None:
        return relevance**2

    def tag_probabilities(self, relevances: np.ndarray) -> np.ndarray | None:
        return relevances**2

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        self.entered += 1
        self.gate.wait()
        self.text_calls.append(len(texts))
        if POISON in texts:
            raise RuntimeError("poisoned")
        for index, text in enumerate(texts):
            if len(text.split()) > MAX_WORDS:
                raise TextTooLongError(len(text.split()), MAX_WORDS, index)
        return np.stack([_unit(sum(map(_word, text.lower().split()), _bias())) for text in texts])

    def embed_clips(self, clips: Vectors) -> Vectors:
        self.entered += 1
        self.gate.wait()
        self.clip_calls.append(len(clips))
        if not np.isfinite(clips).all():
            raise NonFiniteAudioError("not finite")
        time.sleep(self.clip_delay_s)
        return np.stack([_unit(_sound(clip, self.sample_rate_hz)) for clip in clips])

    def embed_track(self, samples: Vectors) -> TrackEmbedding:
        clips = cut_clips(samples, self.sample_rate_hz, self.clip_s)
        vectors = self.embed_clips(np.stack([clip.samples for clip in clips]))
        return TrackEmbedding(
            vectors,
            vectors.mean(axis=0),
            np.array([clip.start_s for clip in clips]),
            np.array([clip.end_s for clip in clips]),
        )


def tone(frequency_hz: float, duration_s: float, sample_rate_hz: int = SAMPLE_RATE_HZ) -> Vectors:
    """A sine at half scale, [T]."""
    times = np.arange(round(duration_s * sample_rate_hz)) / sample_rate_hz
    return (0.5 * np.sin(2 * np.pi * frequency_hz * times)).astype(np.float32)


def _sound(samples: Vectors, sample_rate_hz: int) -> Vectors:
    """Band energies in decibels over the weakest that counts, -60 dB; [E] with B used."""
    power = np.abs(np.fft.rfft(samples * np.hanning(samples.size))) ** 2 / samples.size**2
    frequencies = np.fft.rfftfreq(samples.size, 1 / sample_rate_hz)
    edges = np.geomspace(50.0, sample_rate_hz / 2, BANDS + 1)
    sums = np.add.reduceat(power, np.searchsorted(frequencies, edges[:-1]))
    vector = _bias()
    vector[:BANDS] += np.maximum(10 * np.log10(sums + 1e-12) + 60.0, 0.0) / 60.0
    return vector


@cache
def _word(word: str) -> Vectors:
    if word in TONES_HZ:
        return _unit(_sound(tone(TONES_HZ[word], 1.0), SAMPLE_RATE_HZ))
    if word == "noise":
        noise = np.random.default_rng(0).standard_normal(SAMPLE_RATE_HZ).astype(np.float32)
        return _unit(_sound(noise / 4, SAMPLE_RATE_HZ))
    seed = int.from_bytes(hashlib.sha256(word.encode()).digest()[:8], "big")
    vector = np.zeros(EMBED_DIM, dtype=np.float32)
    vector[BANDS:] = np.random.default_rng(seed).standard_normal(WORDS)
    return _unit(vector)


@cache
def _reference() -> Vectors:
    """[R, E]: tones all over the scale, alone and in noise."""
    random = np.random.default_rng(7)
    sounds = [
        tone(frequency_hz, 0.5) + level * random.standard_normal(12_000).astype(np.float32)
        for frequency_hz in np.geomspace(60, 9000, 64)
        for level in (0.0, 0.01, 0.1)
    ]
    return np.stack([_unit(_sound(sound, SAMPLE_RATE_HZ)) for sound in sounds])


def _bias() -> Vectors:
    """A little of one direction for everything, so that silence and empty texts have one."""
    return np.full(EMBED_DIM, 1e-3, dtype=np.float32)


def _unit(vector: Vectors) -> Vectors:
    return (vector / np.linalg.norm(vector)).astype(np.float32)
