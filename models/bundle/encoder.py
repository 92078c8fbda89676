"""A loaded bundle: checks on the way in, batches in the middle, unit vectors on the way out.

Legend: N items, T samples, E embedding width, R reference clips.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from models.audio.samples import plan_windows
from models.audio.windows import cut_windows, is_repeated_once
from models.bundle.calibration import Calibration
from models.bundle.manifest import Manifest
from models.bundle.tokenization import BundleTokenizer
from models.bundle.towers import Towers
from models.errors import (
    AudioTooShortError,
    InputError,
    NonFiniteAudioError,
    WindowLengthError,
)
from models.interface import TrackEmbedding

Vectors = NDArray[np.float32]

# Samples belong into [-1, 1]. Far above, their power overflows float32 and becomes infinite.
LOUDEST_SAMPLE = 1e8


class BundleEncoder:
    """Implements `models.interface.MusicTextEncoder` over a bundle's towers."""

    def __init__(
        self,
        manifest: Manifest,
        towers: Towers,
        tokenizer: BundleTokenizer,
        reference: Vectors,
        calibration: Calibration | None,
    ) -> None:
        self.manifest = manifest
        self._towers = towers
        self._tokenizer = tokenizer
        self._reference = reference
        self._calibration = calibration
        self._window_samples = round(manifest.clip_seconds * manifest.sample_rate_hz)

    @property
    def model_id(self) -> str:
        return self.manifest.model_id

    @property
    def name(self) -> str:
        return self.manifest.name

    @property
    def embed_dim(self) -> int:
        return self.manifest.embed_dim

    @property
    def sample_rate_hz(self) -> int:
        return self.manifest.sample_rate_hz

    @property
    def clip_s(self) -> float:
        return self.manifest.clip_seconds

    @property
    def languages(self) -> tuple[str, ...]:
        return self.manifest.languages

    @property
    def licence(self) -> str:
        return self.manifest.licence

    @property
    def runtime(self) -> str:
        return self._towers.runtime

    @property
    def device(self) -> str:
        return self._towers.device

    @property
    def precision(self) -> str:
        """Arithmetic of the audio tower: `fp32`, `bf16` or `int8`."""
        return self._towers.precision

    @property
    def max_text_tokens(self) -> int:
        return self.manifest.text.max_tokens

    @property
    def tag_templates(self) -> tuple[str, ...]:
        return self.manifest.tag_templates

    @property
    def reference(self) -> Vectors:
        return self._reference

    def tag_probability(self, relevance: float) -> float | None:
        return None if self._calibration is None else self._calibration.probability(relevance)

    def tag_probabilities(self, relevances: NDArray[np.float64]) -> NDArray[np.float64] | None:
        return None if self._calibration is None else self._calibration.probabilities_of(relevances)

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        """[N, E], unit norm; no texts give [0, E].

        Raises EmptyTextError and TextTooLongError, each naming the text by its place.
        """
        if isinstance(texts, str):
            raise InputError("embed_text takes a list of texts, not one text")
        vectors = np.empty((len(texts), self.embed_dim), dtype=np.float32)
        if len(texts) > 0:
            for batch in self._tokenizer.batches(texts):
                vectors[batch.places] = self._towers.embed_tokens(batch.token_ids, batch.mask)
        if not np.isfinite(vectors).all():
            raise InputError("a text's embedding is not finite")
        return vectors

    def embed_clips(self, clips: Vectors) -> Vectors:
        """[N, T] clips of one window at most -> [N, E], unit norm; no clips give [0, E].

        Clips shorter than the window are whole short tracks, completed with their own start as
        published (those that already are repeated once stay as they are). Raises
        WindowLengthError for longer ones, AudioTooShortError and NonFiniteAudioError.
        """
        if clips.ndim != 2:
            raise WindowLengthError(f"clips must be [N, T], not of shape {clips.shape}")
        vectors = np.empty((clips.shape[0], self.embed_dim), dtype=np.float32)
        if clips.shape[0] == 0:
            return vectors
        clips = self._completed(clips)
        for first in range(0, clips.shape[0], self._towers.clips_per_run):
            run = np.asarray(clips[first : first + self._towers.clips_per_run], dtype=np.float32)
            _check_finite(run, first)
            vectors[first : first + run.shape[0]] = self._towers.embed_windows(run)
        if not np.isfinite(vectors).all():
            raise NonFiniteAudioError("the audio embeds to values that are not finite")
        return vectors

    def embed_track(self, samples: Vectors) -> TrackEmbedding:
        """[T] samples of a whole track, as published: consecutive windows, the last one wrapped.

        The mean is that of the unit clip vectors and is not normalised again. Raises
        AudioTooShortError for less than half a transform's window, NonFiniteAudioError.
        """
        if samples.ndim != 1:
            raise WindowLengthError(f"a track must be [T], not of shape {samples.shape}")
        if samples.shape[0] == 0:
            raise AudioTooShortError("the track is empty")
        vectors, starts_s, ends_s = [], [], []
        for window in cut_windows(samples, self._window_samples, self.sample_rate_hz):
            vectors.append(self.embed_clips(window.samples[None]))
            starts_s.append(window.start_s)
            ends_s.append(window.end_s)
        clips = np.concatenate(vectors)
        return TrackEmbedding(
            clips=clips,
            mean=clips.mean(axis=0),
            starts_s=np.asarray(starts_s),
            ends_s=np.asarray(ends_s),
        )

    def _completed(self, clips: Vectors) -> Vectors:
        samples = clips.shape[1]
        if samples > self._window_samples:
            raise WindowLengthError(
                f"clips of {samples} samples are longer than a window of {self._window_samples}; "
                "embed_track cuts a track into windows"
            )
        if samples == 0:
            raise AudioTooShortError("the clips are empty")
        if samples < self._window_samples and not is_repeated_once(clips):
            (window,) = plan_windows(samples, self._window_samples)
            clips = np.concatenate([clips, clips[:, : window.wrapped]], axis=1)
        if clips.shape[1] < self.manifest.front_end.min_samples:
            raise AudioTooShortError(f"clips of {samples} samples are too short to be embedded")
        return clips


def _check_finite(clips: Vectors, first: int) -> None:
    for index, clip in enumerate(clips):
        # Written so that a NaN fails: the peak of a clip with one is NaN.
        if not float(np.abs(clip).max()) <= LOUDEST_SAMPLE:
            what = "too loud" if np.isfinite(clip).all() else "NaN or infinite"
            raise NonFiniteAudioError(f"clip {first + index} holds samples that are {what}")
