"""Random crops of cached mels: which crop comes when is a function of the seed and the position.

Legend: B batch, F frames, M mel bins. Nothing here keeps state, so a run that resumes at
micro-batch n draws what the uninterrupted run drew at n.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.training import distributed
from models.training.augment import FRAME_RATE_HZ, AugmentConfig, BatchPart, augment
from models.training.file_mels import FileMels
from models.training.manifest import ManifestEntry, Split, read_manifest
from models.training.mel_cache import MelCache, cache_identity, files_identity


@dataclass(frozen=True)
class CropPhase:
    """Crops of `crop_s` seconds, `batch_size` at a time, for every update before `until_update`."""

    until_update: int
    crop_s: float
    batch_size: int

    def __post_init__(self) -> None:
        if self.crop_s <= 0 or self.batch_size < 1:
            raise ValueError(f"a phase needs a crop and a batch, not {self}")

    @property
    def frames(self) -> int:
        return round(self.crop_s * FRAME_RATE_HZ)


@dataclass(frozen=True)
class DataConfig:
    """Which corpus, which crops of it, and how they are varied.

    A track's chance in a batch is its duration to the power `duration_power`. Without a `cache`
    ("") every crop is decoded from its file, by `decode_threads` threads.
    """

    phases: tuple[CropPhase, ...]
    manifest: str = "corpus/manifest.jsonl"
    cache: str = "corpus/mels"
    decode_threads: int = 2
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    duration_power: float = 0.5

    def __post_init__(self) -> None:
        ends = [phase.until_update for phase in self.phases]
        if not ends or ends != sorted(set(ends)):
            raise ValueError("phases must be there and end one after another")


class MelSource(Protocol):
    """Where crops come from: a cache of whole tracks, or the files themselves.

    `read_many` gives one crop of normalised frames [count, M] for each file and start.
    """

    @property
    def mel_bins(self) -> int: ...
    def __contains__(self, sha256: str) -> bool: ...
    def frames(self, sha256: str) -> int: ...
    def read(self, sha256: str, start: int, count: int) -> NDArray[np.float32]: ...
    def read_many(
        self, files: Sequence[str], starts: Sequence[int], count: int
    ) -> list[NDArray[np.float32]]: ...


@dataclass(frozen=True)
class TrainingData:
    """A corpus opened for training: its entries, their mels, and a hash of both."""

    entries: list[ManifestEntry]
    cache: MelSource
    identity: str


def open_training_data(config: DataConfig) -> TrainingData:
    """Open the manifest and the cache that a recipe names, or the files themselves."""
    entries = read_manifest(Path(config.manifest))
    if not config.cache:
        files = FileMels(entries, Path(config.manifest).parent, config.decode_threads)
        return TrainingData(entries, files, files_identity(entries))
    cache = MelCache(Path(config.cache))
    return TrainingData(entries, cache, cache_identity(Path(config.cache), entries))


@dataclass(frozen=True)
class Crops:
    """Which tracks (indices into the sampler's entries) and from which frame, and how long."""

    tracks: NDArray[np.int64]
    starts: NDArray[np.int64]
    frames: int


class CropSampler:
    """Draws crops from the entries of one split that the cache holds.

    A track's chance is its duration to the power `duration_power`: 1 draws every second of audio
    alike, 0 every track alike. Within one batch tracks are distinct as long as there are enough.
    """

    def __init__(
        self,
        entries: Sequence[ManifestEntry],
        cache: MelSource,
        split: Split,
        seed: int,
        duration_power: float = 0.5,
    ) -> None:
        self.entries = [e for e in entries if e.split == split and e.sha256 in cache]
        if not self.entries:
            raise ValueError(f"the cache holds no track of the {split} split")
        self.cache, self.seed = cache, seed
        self.frames = np.array([cache.frames(e.sha256) for e in self.entries])
        weights = self.frames.astype(np.float64) ** duration_power
        self._chances = weights / weights.sum()

    def draw(self, position: int, batch_size: int, frames: int) -> Crops:
        """Return the crops of micro-batch `position`."""
        rng = np.random.default_rng([self.seed, position, 1])
        count = len(self.entries)
        rounds = []
        for first in range(0, batch_size, count):
            wanted = min(count, batch_size - first)
            # Largest keys of u^(1/w): weighted sampling without replacement.
            keys = np.log(rng.random(count)) / self._chances
            rounds.append(np.argpartition(-keys, wanted - 1)[:wanted])
        tracks = np.concatenate(rounds)
        room = np.maximum(self.frames[tracks] - frames, 0)
        return Crops(tracks, (rng.random(batch_size) * (room + 1)).astype(np.int64), frames)

    def read(self, crops: Crops) -> Tensor:
        """Read crops as normalised log-mel [B, M, F]."""
        return read_crops(self.cache, [self.entries[i].sha256 for i in crops.tracks], crops)


def read_crops(cache: MelSource, files: Sequence[str], crops: Crops) -> Tensor:
    """Read one crop of each file as normalised log-mel [B, M, F]."""
    batch = np.empty((len(files), cache.mel_bins, crops.frames), dtype=np.float32)
    read = cache.read_many(files, crops.starts.tolist(), crops.frames)
    for row, frames in enumerate(read):
        batch[row] = frames.T
    return torch.from_numpy(batch)


class CropBatches:
    """The batches of a recipe: sampler, phases and augmentation in one, shared by the stages.

    `position` counts micro-batches. Everything is drawn for the global batch, in every process
    alike; only reading, augmenting and what follows is done by each for its part. So a run does
    not depend on the number of processes.
    """

    def __init__(
        self, data: TrainingData, config: DataConfig, seed: int, micro_batches: int
    ) -> None:
        self.config, self.seed, self.micro_batches = config, seed, micro_batches
        self.sampler = CropSampler(data.entries, data.cache, "train", seed, config.duration_power)

    def crops(self, position: int) -> Crops:
        """Return the crops of micro-batch `position`, of all processes."""
        phase = phase_at(self.config.phases, position // self.micro_batches)
        return self.sampler.draw(position, phase.batch_size, phase.frames)

    def files(self, crops: Crops) -> list[str]:
        """Return the sha256 of each crop's file."""
        return [self.sampler.entries[i].sha256 for i in crops.tracks]

    def mels(self, crops: Crops, position: int) -> Tensor:
        """Read and augment this process's part of the crops: normalised log-mel [B, M, F]."""
        return self.augmented(self.read(crops), crops, position)

    def read(self, crops: Crops) -> Tensor:
        """Read this process's part of the crops as they are: normalised log-mel [B, M, F]."""
        rows = batch_part(len(crops.tracks)).rows
        return self.sampler.read(Crops(crops.tracks[rows], crops.starts[rows], crops.frames))

    def augmented(self, mels: Tensor, crops: Crops, position: int) -> Tensor:
        """Return augmented copies of what `read` gave for the crops [B, M, F]."""
        part = batch_part(len(crops.tracks))
        return augment(mels, self.config.augment, self.seed, position, part)


def batch_part(size: int) -> BatchPart:
    """Return which part of a global batch is this process's."""
    mine = distributed.local_slice(size)
    return BatchPart(mine.start, mine.stop, size)


def held_out_entries(data: TrainingData, limit: int, split: Split = "valid") -> list[ManifestEntry]:
    """List a split's tracks that the cache holds, thinned evenly to at most `limit`."""
    held = [e for e in data.entries if e.split == split and e.sha256 in data.cache]
    step = max(-(-len(held) // limit), 1)
    return held[::step]


def middle_crops(data: TrainingData, entries: Sequence[ManifestEntry], crop_frames: int) -> Tensor:
    """Read one crop from the middle of each track [N, M, F]."""
    files = [entry.sha256 for entry in entries]
    starts = middle_starts(data.cache, files, crop_frames)
    return read_crops(data.cache, files, Crops(np.arange(len(files)), starts, crop_frames))


def middle_starts(cache: MelSource, files: Sequence[str], crop_frames: int) -> NDArray[np.int64]:
    """Return the frame at which the middle crop of each file starts."""
    return np.array([max(cache.frames(f) - crop_frames, 0) // 2 for f in files], np.int64)


def phase_at(phases: Sequence[CropPhase], update: int) -> CropPhase:
    """Return the phase that an update belongs to; the last one has no end."""
    for phase in phases:
        if update < phase.until_update:
            return phase
    return phases[-1]
