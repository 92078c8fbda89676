"""Real tracks with the vectors of a bundle and the labels of a tagger.

Legend: T tracks, N clips of a track, E embedding width, K labels, R labelled windows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from models.interface import MusicTextEncoder, Vectors
from models.training.manifest import ManifestEntry, read_manifest
from models.whole_file import whole_file
from service.audio.clips import batch_clips
from service.audio.decode import stream_clips
from service.audio.errors import DecodeError
from service.audio.results import DecodeLimits

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LONGEST_S = 600.0
_BATCH = 8


HELD_OUT = "test"
"""The split of recordings that no part of a model was trained on."""


@dataclass(frozen=True, eq=False)
class Recording:
    """One recording: its clip vectors [N, E], and its file."""

    entry: ManifestEntry
    clips: Vectors
    path: Path

    @property
    def is_held_out(self) -> bool:
        return self.entry.split == HELD_OUT


@dataclass(frozen=True, eq=False)
class LabelledTrack:
    """One track: clip vectors [N, E], and the tagger's logits of its windows [R, K]."""

    entry: ManifestEntry
    clips: Vectors
    logits: Floats


@dataclass(frozen=True, eq=False)
class LabelledMusic:
    """Tracks [T] whose labels (K names) another model has heard."""

    tracks: Sequence[LabelledTrack]
    names: Sequence[str]

    def means(self) -> Floats:
        """The track vectors [T, E], as a library stores them."""
        return np.stack([track.clips.mean(axis=0) for track in self.tracks]).astype(np.float64)

    def labels(self, pool: Callable[[Floats], Floats] = lambda rows: rows.mean(axis=0)) -> Floats:
        """Standardised logits [T, K], each track's windows pooled."""
        pooled = np.stack([pool(track.logits) for track in self.tracks])
        standardised: Floats = (pooled - pooled.mean(axis=0)) / pooled.std(axis=0)
        return standardised

    def held_out(self) -> LabelledMusic:
        """The tracks that no part of a model was trained on, with the same labels."""
        held_out = [track for track in self.tracks if track.entry.split == HELD_OUT]
        return LabelledMusic(held_out, self.names)

    def only(self, keep: Sequence[str]) -> LabelledMusic:
        """The same tracks with these labels alone."""
        columns = [self.names.index(name) for name in keep]
        tracks = [
            LabelledTrack(track.entry, track.clips, track.logits[:, columns])
            for track in self.tracks
        ]
        return LabelledMusic(tracks, list(keep))


def read_recordings(
    manifests: Sequence[Path], cache: Path, encoder: MusicTextEncoder, *, renders: bool = False
) -> list[Recording]:
    """The recordings of the manifests, each file once; renders are left out unless wanted.

    What has no vectors in the cache yet is decoded and embedded: about a second a track.
    """
    found: dict[str, Recording] = {}
    for manifest in manifests:
        for entry in read_manifest(manifest):
            is_render = entry.source.startswith("render")
            if (is_render and not renders) or entry.sha256 in found:
                continue
            path = manifest.parent / entry.path
            clips = _clips_of(entry, path, cache, encoder)
            if clips is not None:
                found[entry.sha256] = Recording(entry, clips, path)
    return list(found.values())


def label_recordings(recordings: Sequence[Recording], label_files: Sequence[Path]) -> LabelledMusic:
    """Those recordings that a tagger has heard, with its logits."""
    names, logits = _read_logits(label_files)
    tracks = [
        LabelledTrack(each.entry, each.clips, logits[each.entry.id])
        for each in recordings
        if each.entry.id in logits
    ]
    return LabelledMusic(tracks, names)


def _read_logits(files: Sequence[Path]) -> tuple[list[str], dict[str, Floats]]:
    """The label names, and the windows' logits [R, K] of each track."""
    found: dict[str, Floats] = {}
    names: list[str] = []
    for path in files:
        with np.load(path, allow_pickle=False) as stored:
            names = [str(name) for name in stored["tags"]]
            rows: dict[str, list[Floats]] = {}
            for track_id, row in zip(stored["track_ids"].tolist(), stored["logits"], strict=True):
                rows.setdefault(track_id, []).append(row.astype(np.float64))
            found.update({track_id: np.stack(windows) for track_id, windows in rows.items()})
    return names, found


def _clips_of(
    entry: ManifestEntry, file: Path, cache: Path, encoder: MusicTextEncoder
) -> Vectors | None:
    path = cache / encoder.model_id / f"{entry.sha256}.npy"
    if not path.exists():
        try:
            vectors = embed_file(file, encoder)
        except DecodeError:
            logger.warning("%s could not be decoded", entry.id)
            return None
        with whole_file(path) as draft, draft.open("wb") as out:
            np.save(out, vectors.astype(np.float16))
    stored: Vectors = np.load(path, allow_pickle=False).astype(np.float32)
    return stored


def embed_file(path: Path, encoder: MusicTextEncoder) -> Vectors:
    """The clip vectors [N, E] of a file; raises DecodeError."""
    with stream_clips(
        path,
        sample_rate_hz=encoder.sample_rate_hz,
        clip_s=encoder.clip_s,
        max_duration_s=LONGEST_S,
        limits=DecodeLimits(),
    ) as stream:
        found = [encoder.embed_clips(batch.samples) for batch in batch_clips(stream, _BATCH)]
    return np.concatenate(found)
