"""A folder of music with tags in a table or in its files, split so that no group straddles."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from models.training.manifest import Caption, ManifestEntry, Split
from models.training.scan import SkippedFile, scan_folder

SHARES: dict[Split, float] = {"train": 0.65, "valid": 0.15, "test": 0.2}
FEWEST_TRAINED, FEWEST_HELD_OUT = 8, 4
_PATH_COLUMNS = ("path", "file", "filename")
_PLAIN_COLUMNS = ("title", "artist", "group", "caption")


class LibraryError(ValueError):
    """A library or its table cannot be learned from; the message says what is missing."""


@dataclass(frozen=True)
class TableRow:
    """What a table says about one file; parts that it leaves empty are None or absent."""

    title: str | None
    artist: str | None
    group: str | None
    captions: tuple[str, ...]
    tags: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Library:
    """The tracks that can be used, and files left out with the reason."""

    entries: tuple[ManifestEntry, ...]
    skipped: tuple[SkippedFile, ...]


def read_library(folder: Path, table: Path | None = None) -> Library:
    """Describe a folder's tracks: what the table says, and else what the files' own tags say.

    Raises LibraryError for a table that names files which are not there, and for too few labelled
    tracks or groups.
    """
    found, skipped = [], []
    for scanned in scan_folder(folder):
        if isinstance(scanned, SkippedFile):
            skipped.append(scanned)
        else:
            found.append(scanned)
    rows = read_table(table) if table else {}
    missing = sorted(set(rows) - {e.path for e in found} - {s.path for s in skipped})
    if missing:
        raise LibraryError(f"the table names files that {folder} lacks: {', '.join(missing[:5])}")
    described = [_described(entry, rows.get(entry.path)) for entry in found]
    labelled = [entry for entry in described if entry.tags or entry.captions]
    skipped += [SkippedFile(e.path, "no tags") for e in described if e not in labelled]
    entries = split_groups(labelled)
    counts = Counter(entry.split for entry in entries)
    if counts["train"] < FEWEST_TRAINED or min(counts["valid"], counts["test"]) < FEWEST_HELD_OUT:
        raise LibraryError(
            f"{len(labelled)} tracks with tags split into {counts['train']} to learn from, "
            f"{counts['valid']} to stop by and {counts['test']} to judge by; at least "
            f"{FEWEST_TRAINED}, {FEWEST_HELD_OUT} and {FEWEST_HELD_OUT} are needed. Tracks of one "
            "artist (or group, or folder) stay together"
        )
    return Library(tuple(entries), tuple(skipped))


def read_table(path: Path) -> dict[str, TableRow]:
    """Read a CSV of tags, by the path relative to the library's folder.

    The column `path` is needed; `title`, `artist`, `group` (what must stay together) and `caption`
    (several separated by |) may follow; every other column is a kind of tag, its values separated
    by ; or |. Raises LibraryError, naming the line.
    """
    rows: dict[str, TableRow] = {}
    with path.open(encoding="utf-8-sig", newline="") as lines:
        reader = csv.DictReader(lines)
        columns = [column.strip().lower() for column in reader.fieldnames or ()]
        named = next((column for column in _PATH_COLUMNS if column in columns), None)
        if named is None:
            raise LibraryError(f"{path.name} needs a column `path`; it has {', '.join(columns)}")
        reader.fieldnames = columns
        for number, values in enumerate(reader, start=2):
            if None in values or None in values.values():
                raise LibraryError(f"{path.name}, line {number}: not {len(columns)} columns")
            where = values[named].strip().replace("\\", "/").removeprefix("./")
            if not where or where in rows:
                raise LibraryError(f"{path.name}, line {number}: path empty, or there twice")
            rows[where] = _row({k: v.strip() for k, v in values.items() if k != named})
    return rows


def split_groups(entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    """Assign each group to train, valid or test, by its name's hash and by what is still lacking.

    Small libraries get all three parts as long as there are groups enough, which drawing each
    group by itself would not give.
    """
    groups: dict[str, list[ManifestEntry]] = {}
    for entry in entries:
        groups.setdefault(entry.group, []).append(entry)
    # Large groups first, into where most is lacking; equal ones in an order that names fix.
    ordered = sorted(groups, key=lambda name: (-len(groups[name]), _digest(name)))
    counts: dict[Split, int] = dict.fromkeys(SHARES, 0)
    split_of: dict[str, Split] = {}
    for name in ordered:
        lacking = {s: share * len(entries) - counts[s] for s, share in SHARES.items()}
        split_of[name] = max(lacking, key=lambda split: lacking[split])
        counts[split_of[name]] += len(groups[name])
    return [dataclasses.replace(entry, split=split_of[entry.group]) for entry in entries]


def labels_of(entries: Sequence[ManifestEntry], fewest: int = 2) -> dict[str, list[str]]:
    """List each kind's labels that at least `fewest` of the tracks carry, and not all of them.

    Kinds with less than two such labels are left out: there is nothing to tell apart.
    """
    counts: dict[str, Counter[str]] = {}
    carrying: Counter[str] = Counter()
    for entry in entries:
        for kind, values in entry.tags.items():
            counts.setdefault(kind, Counter()).update(set(values))
            carrying[kind] += 1
    labels = {
        kind: sorted(v for v, count in counter.items() if fewest <= count < carrying[kind])
        for kind, counter in counts.items()
    }
    return {kind: values for kind, values in sorted(labels.items()) if len(values) >= 2}


def _row(values: Mapping[str, str]) -> TableRow:
    tags = {
        kind: tuple(dict.fromkeys(_parts(text.lower().replace("|", ";"), ";")))
        for kind, text in values.items()
        if kind not in _PLAIN_COLUMNS and text
    }
    return TableRow(
        title=values.get("title") or None,
        artist=values.get("artist") or None,
        group=values.get("group") or None,
        captions=tuple(_parts(values.get("caption", ""), "|")),
        tags={kind: found for kind, found in tags.items() if found},
    )


def _described(entry: ManifestEntry, row: TableRow | None) -> ManifestEntry:
    if row is None:
        return entry
    group = f"group:{row.group}" if row.group else None
    if group is None and row.artist:
        group = f"artist:{row.artist.casefold()}"
    tags = {**entry.tags, **row.tags}
    written = tuple(Caption(text, "fact") for text in row.captions)
    return dataclasses.replace(
        entry,
        title=row.title or entry.title,
        artist=row.artist or entry.artist,
        group=group or entry.group,
        captions=written or entry.captions,
        tags=tags,
    )


def _parts(text: str, separator: str) -> list[str]:
    return [part.strip() for part in text.split(separator) if part.strip()]


def _digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()
