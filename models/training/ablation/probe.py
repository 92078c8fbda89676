"""A linear probe on frozen states: what a pre-trained network knows without being told more.

Legend: N tracks, D features, C labels.

Features are the time-means of all hidden states side by side. The probe is ridge regression on
each label, its penalty chosen inside the training part; scores come from grouped cross-validation,
so that no artist or package is on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.muq import MuQ
from models.training.augment import FRAME_RATE_HZ
from models.training.manifest import ManifestEntry
from models.training.mel_cache import MelCache
from models.training.metrics import Bools

Features = NDArray[np.float64]
_CROP_S = 10
_CROPS = 3
_PENALTIES = (1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0)


@torch.no_grad()
def track_features(muq: MuQ, cache: MelCache, entries: Sequence[ManifestEntry]) -> Features:
    """Return features [N, D]: mean states over three crops of ten seconds of each track."""
    muq = muq.eval().cpu()
    frames = _CROP_S * FRAME_RATE_HZ
    rows = []
    for entry in entries:
        room = max(cache.frames(entry.sha256) - frames, 0)
        starts = sorted({round(room * part) for part in np.linspace(0.1, 0.9, _CROPS)})
        crops = np.stack([cache.read(entry.sha256, start, frames).T for start in starts])
        states = muq.hidden_states(torch.from_numpy(crops))
        rows.append(torch.cat([state.mean(dim=(0, 1)) for state in states]).double().numpy())
    return np.stack(rows)


def probe_scores(
    features: Features, truth: Bools, groups: Sequence[str], folds: int = 5, seed: int = 0
) -> Features:
    """Return scores [N, C] for labels [N, C], each from a probe that never saw the track's group.

    Raises ValueError where there are fewer than two groups.
    """
    names = sorted(set(groups))
    if len(names) < 2:
        raise ValueError("a probe needs tracks of two groups or more")
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[name]: place % min(folds, len(names)) for place, name in enumerate(order)}
    assigned = np.array([fold_of[group] for group in groups])
    scores = np.zeros(truth.shape)
    for fold in sorted(set(assigned.tolist())):
        held = assigned == fold
        scores[held] = _fit_and_score(features[~held], truth[~held], features[held])
    return scores


def _fit_and_score(features: Features, truth: Bools, asked: Features) -> Features:
    """Scores [n, C] of tracks from ridge regression on others."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    known, wanted = (features - mean) / spread, (asked - mean) / spread
    width = known.shape[1]
    kernel, cross = known @ known.T / width, wanted @ known.T / width
    target = truth.astype(np.float64)
    offset = target.mean(axis=0)
    values, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ (target - offset)
    best = min(_PENALTIES, key=lambda p: _left_out_error(values, vectors, turned, p))
    weights = vectors @ (turned / (values + best)[:, None])
    scores: Features = cross @ weights + offset
    return scores


def _left_out_error(values: Features, vectors: Features, turned: Features, penalty: float) -> float:
    """Mean squared error of leaving out each track, in closed form."""
    inverse = (vectors / (values + penalty)) @ vectors.T
    weights = vectors @ (turned / (values + penalty)[:, None])
    return float(np.square(weights / np.diag(inverse)[:, None]).mean())
