"""The public data sets by name, and one call that turns a downloaded folder into a manifest."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.training.datasets import captions, classes, notes, tagging
from models.training.datasets.common import DatasetError, Item, Terms, make_entries
from models.training.manifest import ManifestEntry, write_manifest
from models.training.scan import SkippedFile


@dataclass(frozen=True)
class Reader:
    """How a data set is read, and its terms."""

    read: Callable[..., Iterator[Item]]
    terms: Terms


READERS: dict[str, Reader] = {
    "magnatagatune": Reader(tagging.read_magnatagatune, tagging.MTT_TERMS),
    "mtg-jamendo": Reader(tagging.read_mtg_jamendo, tagging.JAMENDO_TERMS),
    "musiccaps": Reader(captions.read_musiccaps, captions.MUSICCAPS_TERMS),
    "song-describer": Reader(captions.read_song_describer, captions.SONG_DESCRIBER_TERMS),
    "gtzan": Reader(classes.read_gtzan, classes.GTZAN_TERMS),
    "emomusic": Reader(classes.read_emomusic, classes.EMOMUSIC_TERMS),
    "giantsteps": Reader(classes.read_giantsteps, classes.GIANTSTEPS_TERMS),
    "nsynth": Reader(notes.read_nsynth, notes.NSYNTH_TERMS),
    "vocalset": Reader(notes.read_vocalset, notes.VOCALSET_TERMS),
}


@dataclass(frozen=True)
class DatasetManifest:
    """What a folder gave: the entries that were written, and the files that were not taken."""

    path: Path
    entries: tuple[ManifestEntry, ...]
    skipped: tuple[SkippedFile, ...]


def write_dataset_manifest(
    name: str, folder: Path, options: Mapping[str, Any] | None = None, workers: int = 2
) -> DatasetManifest:
    """Write manifest-NAME.jsonl into a downloaded data set's folder.

    `options` are the reader's own (split, subset, task, ...). Raises DatasetError for an unknown
    data set or option, for a folder of another shape, and where no file could be read.
    """
    if name not in READERS:
        raise DatasetError(f"unknown data set {name!r}; known: {', '.join(sorted(READERS))}")
    if not folder.is_dir():
        raise DatasetError(f"{folder} is not a folder")
    reader, chosen = READERS[name], dict(options or {})
    known = [key for key in inspect.signature(reader.read).parameters if key != "folder"]
    unknown = [key for key in chosen if key not in known]
    if unknown:
        raise DatasetError(
            f"{name} has no option {unknown[0]!r}; it has: {', '.join(known) or '-'}"
        )
    results = list(make_entries(folder, reader.read(folder, **chosen), reader.terms, workers))
    entries = tuple(item for item in results if isinstance(item, ManifestEntry))
    skipped = tuple(item for item in results if isinstance(item, SkippedFile))
    if not entries:
        first = f": {skipped[0].path}: {skipped[0].reason}" if skipped else ""
        raise DatasetError(f"{name}: none of {len(skipped)} files could be used{first}")
    path = folder / "-".join(["manifest", name, *(str(value) for value in chosen.values())])
    path = path.with_name(path.name + ".jsonl")
    write_manifest(path, entries)
    return DatasetManifest(path, entries, skipped)
