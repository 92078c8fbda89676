"""What the readers of public data sets share: found recordings become checked manifest entries.

A reader yields an `Item` for each recording that its annotations name; this module finds out how
long the file is and what it holds, and says of each file that is not taken why.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import av

from models.checksum import file_sha256
from models.training.manifest import Caption, ManifestEntry, Split
from models.training.scan import AUDIO_SUFFIXES, SkippedFile, probe_audio


class DatasetError(ValueError):
    """A folder does not have the shape of the data set, or lacks a file that is needed."""


@dataclass(frozen=True)
class Item:
    """One recording as the annotations describe it; `path` is relative to the data set's folder.

    `group` names what the data set's own split keeps together, and no more: where a published split
    lets an artist into two parts, the group is the recording.
    """

    id: str
    path: str
    split: Split
    group: str
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    captions: tuple[Caption, ...] = ()
    title: str | None = None
    artist: str | None = None


@dataclass(frozen=True)
class Terms:
    """Where a data set comes from and under which terms its audio may be used."""

    source: str
    licence: str
    attribution: str


def make_entries(
    root: Path, items: Iterable[Item], terms: Terms, workers: int = 2
) -> Iterator[ManifestEntry | SkippedFile]:
    """Probe and hash every item's file, in order; files that are missing or broken are skipped."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda item: _make_entry(root, item, terms), items)


def read_rows(path: Path, columns: Sequence[str], delimiter: str = ",") -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header; DatasetError where it or a column is missing."""
    if not path.is_file():
        raise DatasetError(f"{path.name} is missing: expected at {path}")
    with path.open(encoding="utf-8-sig", newline="") as lines:
        # Row lengths vary in some of these tables; what is beyond the header goes to key None.
        reader = csv.DictReader(lines, delimiter=delimiter)
        header = [name.strip() for name in reader.fieldnames or ()]
        reader.fieldnames = header
        missing = [name for name in columns if name not in header]
        if missing:
            raise DatasetError(f"{path.name} has no column {', '.join(missing)}")
        for row in reader:
            yield {key: _text(value) for key, value in row.items() if key is not None}


def find_audio(root: Path) -> dict[str, str]:
    """Map the stem of every audio file below `root` to its path relative to `root`."""
    found: dict[str, str] = {}
    for folder, _, names in sorted(os.walk(root)):
        for name in sorted(names):
            path = Path(folder) / name
            if path.suffix.lower() in AUDIO_SUFFIXES:
                found.setdefault(path.stem, path.relative_to(root).as_posix())
    return found


def existing(root: Path, candidates: Iterable[str]) -> str:
    """Return the first candidate path that exists, and the first of all where none does."""
    listed = list(candidates)
    return next((path for path in listed if (root / path).is_file()), listed[0])


def _make_entry(root: Path, item: Item, terms: Terms) -> ManifestEntry | SkippedFile:
    path = root / item.path
    if not path.is_file():
        return SkippedFile(item.path, "named by the annotations, but not there")
    try:
        duration_s, _ = probe_audio(path)
    except (av.FFmpegError, ValueError, OSError) as error:
        return SkippedFile(item.path, f"not readable as audio: {error}")
    if duration_s <= 0:
        return SkippedFile(item.path, "holds no audio")
    return ManifestEntry(
        id=item.id,
        path=item.path,
        duration_s=round(duration_s, 3),
        split=item.split,
        group=item.group,
        source=terms.source,
        sha256=file_sha256(path),
        title=item.title,
        artist=item.artist,
        licence=terms.licence,
        attribution=item.artist or terms.attribution,
        captions=item.captions,
        tags={kind: tuple(values) for kind, values in item.tags.items() if values},
    )


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()
