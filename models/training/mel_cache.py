"""Log-mel frames of whole tracks, decoded once, as int8 or float16 that training maps into memory.

Legend: F frames (100 a second), M mel bins.

Frames are keyed by the sha256 of the audio file: a manifest may rename, split or regroup its
tracks and the cache still fits. Normalised log-mel values lie between -5.80 (the -100 dB floor)
and about 4; int8 stores them in steps of 0.05, which is 0.92 dB, so no value is off by more than
0.025 (0.46 dB) between -6.4 and 6.35.

    shard-N.bin     frames [F, M], one track after another
    shard-N.jsonl   one line per finished track: sha256, first frame, frames
    cache.json      format, mel settings
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import sys
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from models.audio.mel_numpy import log_mel
from models.networks.config import MelConfig
from models.training.decode import DecodeError, decode_mono
from models.training.manifest import ManifestEntry

Storage = Literal["int8", "float16"]
Stored = NDArray[Any]

STEP = 0.05
_CHUNK_FRAMES = 6000
_MARGIN_FRAMES = 8


class MelCacheError(RuntimeError):
    """A cache is missing, or was built with other settings than are asked for."""


@dataclass(frozen=True)
class CachedTrack:
    """Where one file's frames lie: shard, first frame, number of frames."""

    sha256: str
    shard: int
    first_frame: int
    frames: int


class MelCache:
    """A cache opened for reading; frames are mapped, not loaded."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        settings = _read_settings(folder)
        self.storage: Storage = settings["storage"]
        self.mel_bins = int(settings["mel"]["mel_bins"])
        self.tracks = {track.sha256: track for track in list_cached(folder)}
        self._maps = {shard: self._map(shard) for shard in {t.shard for t in self.tracks.values()}}

    def __contains__(self, sha256: str) -> bool:
        return sha256 in self.tracks

    def frames(self, sha256: str) -> int:
        """Return how many frames a file has."""
        return self.tracks[sha256].frames

    def read(self, sha256: str, start: int, count: int) -> NDArray[np.float32]:
        """Read normalised frames [count, M]; a file that is too short starts again (wraps)."""
        track = self.tracks[sha256]
        frames = self._maps[track.shard]
        if start + count <= track.frames:
            first = track.first_frame + start
            return dequantise(frames[first : first + count])
        wanted = track.first_frame + (start + np.arange(count)) % track.frames
        return dequantise(frames[wanted])

    def read_many(
        self, files: Sequence[str], starts: Sequence[int], count: int
    ) -> list[NDArray[np.float32]]:
        """Read one crop [count, M] of each file."""
        return [self.read(file, start, count) for file, start in zip(files, starts, strict=True)]

    def _map(self, shard: int) -> Stored:
        path = self.folder / f"shard-{shard}.bin"
        mapped: Stored = np.memmap(path, dtype=self.storage, mode="r")
        # A build that is still running may be in the middle of a track.
        whole = len(mapped) - len(mapped) % self.mel_bins
        return mapped[:whole].reshape(-1, self.mel_bins)


def quantise(mel: NDArray[np.float32], storage: Storage) -> Stored:
    """Turn normalised mel values into what is stored."""
    if storage == "float16":
        return mel.astype(np.float16)
    stored: Stored = np.clip(np.rint(mel / STEP), -128, 127).astype(np.int8)
    return stored


def dequantise(stored: Stored) -> NDArray[np.float32]:
    """Turn stored values back into normalised mel values."""
    if stored.dtype == np.int8:
        return stored.astype(np.float32) * np.float32(STEP)
    return stored.astype(np.float32)


def list_cached(folder: Path) -> list[CachedTrack]:
    """List the finished tracks of a cache folder, in order of shard and position."""
    found = []
    for path in sorted(folder.glob("shard-*.jsonl")):
        shard = int(path.stem.removeprefix("shard-"))
        for line in path.read_text("utf-8").splitlines():
            record = json.loads(line)
            found.append(CachedTrack(record["sha256"], shard, record["first"], record["frames"]))
    return found


def build_mel_cache(
    entries: Sequence[ManifestEntry],
    root: Path,
    folder: Path,
    storage: Storage = "int8",
    processes: int = 1,
    max_track_s: float = 1200.0,
) -> list[str]:
    """Add the frames of every entry that the cache lacks; return the ids that cannot be decoded.

    `root` is the manifest's folder. Files are decoded whole, channels averaged, resampled to
    24 kHz and cut after `max_track_s`. It may be interrupted and called again at any time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    mel = MelConfig()
    _write_settings(folder, storage, mel)
    have = {track.sha256 for track in list_cached(folder)}
    wanted = {entry.sha256: entry for entry in entries if entry.sha256 not in have}
    # Longest first, so that the shards end together.
    queue = sorted(wanted.values(), key=lambda entry: -entry.duration_s)
    jobs = [
        _Job(shard, root, folder, storage, max_track_s, tuple(queue[shard::processes]))
        for shard in range(processes)
    ]
    if processes == 1:
        return _fill_shard(jobs[0])
    failed: list[str] = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        for done in as_completed(pool.submit(_fill_shard, job) for job in jobs):
            failed += done.result()
    return failed


@dataclass(frozen=True)
class _Job:
    shard: int
    root: Path
    folder: Path
    storage: Storage
    max_track_s: float
    entries: tuple[ManifestEntry, ...]


def _fill_shard(job: _Job) -> list[str]:
    index_path = job.folder / f"shard-{job.shard}.jsonl"
    data_path = job.folder / f"shard-{job.shard}.bin"
    first = sum(track.frames for track in list_cached(job.folder) if track.shard == job.shard)
    row_bytes = MelConfig().mel_bins * np.dtype(job.storage).itemsize
    failed: list[str] = []
    started, total_s, done_s = time.monotonic(), sum(e.duration_s for e in job.entries), 0.0
    with data_path.open("ab") as data, index_path.open("a", encoding="utf-8") as index:
        data.truncate(first * row_bytes)  # what an interrupted build left behind
        for number, entry in enumerate(job.entries, start=1):
            done_s += entry.duration_s
            try:
                samples = decode_mono(job.root / entry.path, max_s=job.max_track_s)
            except DecodeError as error:
                print(f"{entry.id}: {error}", file=sys.stderr)
                failed.append(entry.id)
                continue
            frames = quantise(mel_frames(samples), job.storage)
            data.write(frames.tobytes())
            data.flush()
            record = {"sha256": entry.sha256, "first": first, "frames": len(frames)}
            index.write(json.dumps(record) + "\n")
            index.flush()
            first += len(frames)
            if number % 20 == 0 or number == len(job.entries):
                _report(job.shard, number, len(job.entries), done_s, total_s, started)
    return failed


def mel_frames(samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute normalised log-mel frames [F, M] of a whole track, chunk by chunk.

    Equal to the front end on the whole signal: chunks overlap by more than half a window.
    """
    hop = MelConfig().hop_samples
    total = len(samples) // hop
    parts = []
    for start in range(0, total, _CHUNK_FRAMES):
        stop = min(start + _CHUNK_FRAMES, total)
        low = max(start - _MARGIN_FRAMES, 0)
        high = min(stop + _MARGIN_FRAMES, total)
        end = len(samples) if high == total else high * hop
        chunk = log_mel(samples[None, low * hop : end])[0]
        parts.append(chunk[:, start - low : stop - low].T)
    return np.concatenate(parts)


def cache_identity(folder: Path, entries: Iterable[ManifestEntry]) -> str:
    """Hash what training will read: mel settings and every entry's id, content, split and texts."""
    return _identity(_read_settings(folder), entries)


def files_identity(entries: Iterable[ManifestEntry]) -> str:
    """Hash what training will read where it decodes the files itself."""
    return _identity({"storage": "files", "mel": asdict(MelConfig())}, entries)


def _identity(settings: dict[str, Any], entries: Iterable[ManifestEntry]) -> str:
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for entry in sorted(entries, key=lambda entry: entry.id):
        digest.update(json.dumps(asdict(entry), sort_keys=True).encode())
    return digest.hexdigest()


def _report(shard: int, done: int, of: int, done_s: float, total_s: float, started: float) -> None:
    elapsed_s = time.monotonic() - started
    eta_s = elapsed_s * (total_s - done_s) / max(done_s, 1e-9)
    print(
        f"shard {shard}: {done}/{of} tracks, {done_s / 3600:.1f} of {total_s / 3600:.1f} h, "
        f"{done_s / elapsed_s:.0f}x realtime, ETA {eta_s:.0f} s",
        file=sys.stderr, flush=True,
    )  # fmt: skip


def _settings(storage: Storage, mel: MelConfig) -> dict[str, Any]:
    return {"format": 1, "storage": storage, "step": STEP, "mel": asdict(mel)}


def _write_settings(folder: Path, storage: Storage, mel: MelConfig) -> None:
    path = folder / "cache.json"
    settings = _settings(storage, mel)
    if path.exists() and json.loads(path.read_text("utf-8")) != settings:
        raise MelCacheError(f"{folder} was built with other settings; choose another folder")
    path.write_text(json.dumps(settings, indent=2) + "\n", "utf-8")


def _read_settings(folder: Path) -> dict[str, Any]:
    path = folder / "cache.json"
    if not path.exists():
        raise MelCacheError(f"{folder} holds no mel cache; build one with `muquery train cache`")
    settings: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return settings
