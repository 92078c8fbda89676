"""A bundle's reference and calibration, from the corpus of its training and from labelled tracks.

Legend: n clips of a track, M mel bins, F frames, E embedding width, R reference clips.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.bundle.calibration import Calibration, fit_calibration
from models.bundle.encoder import BundleEncoder
from models.bundle.onnx_towers import OnnxTowers
from models.interface import TrackEmbedding
from models.relevance import relevance_scale
from models.training.data import MelSource
from models.training.decode import decode_mono
from models.training.manifest import ManifestEntry

Vectors = NDArray[np.float32]

_RENDERED = "render"
# Music that people keep is recorded, and renders are like no recording: half a reference of them
# let twice as many unrelated pairs reach a relevance of .99 as should (docs/ranking.md). They are
# a stand-in where there are fewer recordings than this.
FEWEST_RECORDINGS = 100
# A label that fits hardly any of the tracks says little about the others.
FEWEST_TRACKS_PER_LABEL = 3


@dataclass(frozen=True)
class LabelledTrack:
    """A track's embedding and the labels that are known to fit it, by kind."""

    embedding: TrackEmbedding
    labels: dict[str, tuple[str, ...]]


def reference_vectors(
    towers: OnnxTowers,
    entries: Sequence[ManifestEntry],
    cache: MelSource,
    *,
    clip_s: float,
    limit: int = 3000,
    fewest_recordings: int = FEWEST_RECORDINGS,
) -> Vectors:
    """Vectors [R, E] of windows picked evenly from the recordings that the cache holds.

    Every track gives the same share. Where there are too few recordings, rendered pieces give as
    many windows as they do. Raises ValueError where the cache holds none of the tracks.
    """
    frames = round(clip_s * 100)
    by_kind: dict[bool, list[tuple[str, int]]] = defaultdict(list)
    for entry in entries:
        if entry.sha256 in cache:
            windows = max(1, cache.frames(entry.sha256) // frames)
            by_kind[entry.source.startswith(_RENDERED)].append((entry.sha256, windows))
    if not by_kind:
        raise ValueError("the cache holds none of the tracks")
    if len(by_kind[False]) >= fewest_recordings:
        by_kind.pop(True, None)
    kinds = [tracks for tracks in by_kind.values() if tracks]
    vectors = []
    for tracks in kinds:
        for sha256, window in _pick(tracks, limit // len(kinds)):
            mel = cache.read(sha256, window * frames, frames).T[None]
            vectors.append(towers.embed_mel(np.ascontiguousarray(mel)))
    return np.concatenate(vectors)


def calibrate(
    encoder: BundleEncoder, tracks: Sequence[LabelledTrack], *, facts: dict[str, object]
) -> Calibration:
    """Fit relevance to truth over every pair of a track and a label of a kind that it has.

    Scores are worked out as for tags: the mean vector of a label's prompts against the track's
    mean, ranked among the bundle's reference. Raises ValueError as `fit_calibration` does.
    """
    relevances: list[float] = []
    truths: list[bool] = []
    for kind, labels in _labels_by_kind(tracks).items():
        judged = [track for track in tracks if track.labels.get(kind)]
        for label in labels:
            scale = relevance_scale(query := label_query(encoder, label), encoder.reference)
            relevances += [scale.relevance(float(query @ t.embedding.mean)) for t in judged]
            truths += [label in track.labels[kind] for track in judged]
    counted = {"tracks": len(tracks), **facts}
    return fit_calibration(relevances, truths, facts=counted)


def label_query(encoder: BundleEncoder, label: str) -> Vectors:
    """The query vector [E] of a label: its prompts' mean, at unit length."""
    prompts = [template.replace("{label}", label) for template in encoder.tag_templates]
    mean = encoder.embed_text(prompts).mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean), dtype=np.float32)


def labelled_tracks(
    encoder: BundleEncoder, entries: Sequence[ManifestEntry], folder: Path, kinds: Sequence[str]
) -> Iterator[LabelledTrack]:
    """Decode and embed the tracks of a manifest in `folder` that carry labels of these kinds."""
    for entry in entries:
        labels = {kind: entry.tags[kind] for kind in kinds if entry.tags.get(kind)}
        if labels:
            yield LabelledTrack(encoder.embed_track(decode_mono(folder / entry.path)), labels)


def _labels_by_kind(tracks: Sequence[LabelledTrack]) -> dict[str, list[str]]:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for track in tracks:
        for kind, labels in track.labels.items():
            counts[kind].update(set(labels))
    return {
        kind: sorted(label for label, count in counter.items() if count >= FEWEST_TRACKS_PER_LABEL)
        for kind, counter in counts.items()
    }


def _pick(tracks: Sequence[tuple[str, int]], limit: int) -> Iterator[tuple[str, int]]:
    """At most `limit` windows: of every track the same share, evenly through its length."""
    stride = max(1, -(-len(tracks) // limit))
    thinned = tracks[::stride]
    share = max(1, limit // len(thinned))
    for sha256, windows in thinned:
        for window in np.unique(np.linspace(0, windows - 1, min(windows, share)).round()):
            yield sha256, int(window)
