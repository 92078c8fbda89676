"""Frozen features: every layer of a MuQ, averaged over the time of each chunk.

Legend: C chunks, L layers (the convolutions' output, then one a transformer layer), D width,
T samples.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle.loading import find_bundle_folder
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan
from models.training.decode import SAMPLE_RATE_HZ, decode_mono
from models.training.evaluation.probing.tasks import ProbeTask
from models.training.manifest import ManifestEntry
from models.whole_file import whole_file

_BATCH = 8
_SHORTEST_S = 0.5
_SAVE_EVERY_TRACKS = 200


@dataclass(frozen=True)
class Features:
    """Time means [C, L, D] of the chunks of N tracks, and the track [C] of each chunk."""

    means: NDArray[np.float32]
    tracks: NDArray[np.int64]


def open_muq(name: str) -> MuQ:
    """Open the MuQ of a training run (muq or mulan), a bundle with torch weights, or the
    published layout; raises as their loaders do."""
    config = Path(name) / "config.json"
    if config.is_file():
        stage = json.loads(config.read_text("utf-8")).get("stage")
        if stage == "muq":
            from models.training.muq import load_muq

            return load_muq(Path(name))
        if stage == "mulan":
            from models.training.mulan import load_trained_mulan

            return load_trained_mulan(Path(name)).network.audio.muq
    if not (find_bundle_folder(name) / "bundle.json").is_file():
        from models.published import load_published

        found = load_published(find_bundle_folder(name))
        return found.audio.muq if isinstance(found, MuQMuLan) else found
    from models.training.finetuning.parent import open_parent

    return open_parent(name).network().audio.muq


def extract_features(
    muq: MuQ,
    task: ProbeTask,
    entries: Sequence[ManifestEntry],
    folder: Path,
    cache: Path | None = None,
    device: str = "cpu",
    say: Callable[[str], None] = print,
) -> Features:
    """Extract the features of tracks below a manifest's folder; `cache` makes it resumable.

    A cache belongs to one model and one task.
    """
    muq = muq.eval().to(device)
    known: dict[str, NDArray[np.float16]] = {}
    if cache is not None and cache.exists():
        with np.load(cache, allow_pickle=False) as stored:
            known = {name: stored[name] for name in stored.files}
    todo = [entry for entry in entries if entry.sha256 not in known]
    for done, entry in enumerate(todo, start=1):
        samples = decode_mono(folder / entry.path, max_s=task.longest_s)
        known[entry.sha256] = _layer_means(muq, cut_chunks(samples, task.chunk_s), device)
        if cache is not None and (done % _SAVE_EVERY_TRACKS == 0 or done == len(todo)):
            _save(cache, known)
            say(f"features of {done} of {len(todo)} tracks")
    means = [known[entry.sha256] for entry in entries]
    owners = [np.full(len(rows), number) for number, rows in enumerate(means)]
    return Features(np.concatenate(means).astype(np.float32), np.concatenate(owners))


def cut_chunks(samples: NDArray[np.float32], chunk_s: float | None) -> list[NDArray[np.float32]]:
    """Cut samples [T] into chunks of equal length; a rest counts from half a chunk on.

    A track shorter than a chunk is one chunk, repeated up to half a second where it is shorter.
    """
    least = int(_SHORTEST_S * SAMPLE_RATE_HZ)
    if len(samples) < least:
        samples = np.tile(samples, -(-least // len(samples)))
    if chunk_s is None:
        return [samples]
    size = int(chunk_s * SAMPLE_RATE_HZ)
    chunks = [samples[start : start + size] for start in range(0, len(samples), size)]
    return [chunk for chunk in chunks if len(chunk) >= size / 2] or [samples]


@torch.inference_mode()
def _layer_means(
    muq: MuQ, chunks: Sequence[NDArray[np.float32]], device: str
) -> NDArray[np.float16]:
    rows = []
    full = [chunk for chunk in chunks if len(chunk) == len(chunks[0])]
    batches = [np.stack(full[i : i + _BATCH]) for i in range(0, len(full), _BATCH)]
    batches += [chunk[np.newaxis] for chunk in chunks[len(full) :]]
    for batch in batches:
        states = muq.hidden_states(torch.from_numpy(batch).to(device))
        rows.append(torch.stack([state.mean(dim=1) for state in states], dim=1).cpu().numpy())
    return np.concatenate(rows).astype(np.float16)


def _save(path: Path, known: dict[str, NDArray[np.float16]]) -> None:
    with whole_file(path) as draft, draft.open("wb") as stream:
        np.savez(stream, **known)  # type: ignore[arg-type]  # numpy names two other keywords
