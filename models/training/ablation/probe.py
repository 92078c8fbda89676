"""A linear probe on frozen states: what a pre-trained network knows without being told more.

Legend: N tracks, D features, C labels, P penalties.

Features are the time-means of all hidden states side by side. The probe is ridge regression on
each label, its penalty chosen inside the training part. Groups (an artist, a package) are held out
whole, also where the penalty is chosen.

ROC-AUC is read off pairs of tracks that were held out together, from one and the same probe, over
many random splits. Scores of different probes must not be pooled: a probe's level and spread follow
how many of a label's tracks it was given, which are fewer the more of them are held out, so that
in small collections features that know nothing would score far below one half.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from models.networks.muq import MuQ
from models.training.augment import FRAME_RATE_HZ
from models.training.manifest import ManifestEntry
from models.training.mel_cache import MelCache
from models.training.metrics import Bools

Features = NDArray[np.float64]
Indices = NDArray[np.int64]
_CROP_S = 10
_CROPS = 3
_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0)
_FOLDS = 3
_SPLITS = 8


@dataclass(frozen=True)
class Concordance:
    """How often a track that carries a label was ranked above one that does not.

    wins, asked: [C, N, N], for a carrier (second axis) and another (third): splits in which the
    carrier came first, ties counting half, of those in which both were held out together.
    """

    wins: Features
    asked: Features

    def roc_auc(self, items: Indices) -> float:
        """Macro ROC-AUC over the labels of a sample of tracks, drawn with replacement or not.

        NaN where no label has a pair to be compared.
        """
        many = np.bincount(items, minlength=self.wins.shape[1]).astype(np.float64)
        wins = (self.wins @ many) @ many
        asked = (self.asked @ many) @ many
        if not asked.any():
            return float("nan")
        return float(np.mean(wins[asked > 0] / asked[asked > 0]))


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


def probe(features: Features, truth: Bools, groups: Sequence[str], seed: int = 0) -> Concordance:
    """Compare tracks [N, D] by probes of labels [N, C] that saw none of the tracks' groups.

    Raises ValueError where there are fewer groups than folds.
    """
    if len(set(groups)) < _FOLDS:
        raise ValueError(f"a probe needs tracks of {_FOLDS} groups or more")
    tracks, labels = truth.shape
    wins, asked = np.zeros((labels, tracks, tracks)), np.zeros((labels, tracks, tracks))
    for split in range(_SPLITS):
        for known, held in _folds(groups, _FOLDS, seed + split):
            inside = [groups[index] for index in known]
            penalty = _best_penalty(features[known], truth[known], inside, seed)
            scores = _scores(features[known], truth[known], features[held], (penalty,))[0]
            for label in range(labels):
                carries = truth[held, label]
                ours, others = held[carries], held[~carries]
                ahead = scores[carries, label][:, None] - scores[~carries, label]
                wins[label][np.ix_(ours, others)] += (np.sign(ahead) + 1.0) / 2.0
                asked[label][np.ix_(ours, others)] += 1.0
    return Concordance(wins, asked)


def _folds(groups: Sequence[str], folds: int, seed: int) -> Iterator[tuple[Indices, Indices]]:
    names = sorted(set(groups))
    order = np.random.default_rng(seed).permutation(len(names))
    fold_of = {names[name]: place % folds for place, name in enumerate(order)}
    assigned = np.array([fold_of[group] for group in groups])
    for fold in sorted(set(assigned.tolist())):
        yield np.flatnonzero(assigned != fold), np.flatnonzero(assigned == fold)


def _best_penalty(features: Features, truth: Bools, groups: Sequence[str], seed: int) -> float:
    """The penalty of the lowest error on groups that were left out; the largest for one group."""
    if len(set(groups)) < 2:
        return _PENALTIES[-1]
    errors = np.zeros(len(_PENALTIES))
    for known, held in _folds(groups, _FOLDS, seed):
        found = _scores(features[known], truth[known], features[held], _PENALTIES)
        errors += np.square(found - truth[held]).sum(axis=(1, 2))
    return _PENALTIES[int(errors.argmin())]


def _scores(
    features: Features, truth: Bools, asked: Features, penalties: Sequence[float]
) -> Features:
    """Scores [P, n, C] of tracks asked about [n, D], from ridge regression on others."""
    mean, spread = features.mean(axis=0), features.std(axis=0) + 1e-6
    known, wanted = (features - mean) / spread, (asked - mean) / spread
    width = known.shape[1]
    kernel, cross = known @ known.T / width, wanted @ known.T / width
    target = truth.astype(np.float64)
    offset = target.mean(axis=0)
    values, vectors = np.linalg.eigh(kernel)
    turned = vectors.T @ (target - offset)
    towards = cross @ vectors
    return np.stack([towards @ (turned / (values + p)[:, None]) + offset for p in penalties])
