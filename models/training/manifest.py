"""The training manifest: one JSON object per line, one line per audio file.

The manifest is the only thing that training and evaluation read about the corpus. Paths are
relative to the manifest's folder, so that a corpus may be moved or mounted elsewhere.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any, Literal, cast, get_args

from models.whole_file import whole_file

Split = Literal["train", "valid", "test"]
CaptionKind = Literal["fact", "title", "teacher"]

SPLITS: tuple[Split, ...] = get_args(Split)
CAPTION_KINDS: tuple[CaptionKind, ...] = get_args(CaptionKind)

_SHA256 = re.compile(r"[0-9a-f]{64}")


class ManifestError(ValueError):
    """A manifest, or one entry of it, breaks a rule stated in this module."""


@dataclass(frozen=True)
class Caption:
    """One text that describes a file.

    `kind` says where the words come from: "fact" (a declared property of the file), "title" (its
    own title and context) or "teacher" (a tagger's opinion). `weight` is a sampling weight > 0.
    """

    text: str
    kind: CaptionKind
    weight: float = 1.0

    def __post_init__(self) -> None:
        if not self.text.strip():
            raise ManifestError("a caption is empty")
        if self.kind not in CAPTION_KINDS:
            raise ManifestError(f"unknown caption kind {self.kind!r}")
        if not (math.isfinite(self.weight) and self.weight > 0):
            raise ManifestError(f"caption weight {self.weight!r} is not above zero")


@dataclass(frozen=True)
class ManifestEntry:
    """One audio file with its provenance, licence, captions and tags.

    `group` names what may not straddle two splits (an artist, a package, a style file); `tags`
    maps a kind ("genre", "instrument", "tempo", ...) to lower-case values.
    """

    id: str
    path: str
    duration_s: float
    split: Split
    group: str
    source: str
    sha256: str
    title: str | None
    artist: str | None
    licence: str
    attribution: str
    captions: tuple[Caption, ...] = ()
    tags: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("id", "path", "group", "source", "licence"):
            if not str(getattr(self, name)).strip():
                raise ManifestError(f"entry {self.id!r}: {name} is empty")
        if self.split not in SPLITS:
            raise ManifestError(f"entry {self.id!r}: unknown split {self.split!r}")
        if not (math.isfinite(self.duration_s) and self.duration_s > 0):
            raise ManifestError(f"entry {self.id!r}: duration {self.duration_s!r} s")
        if not _SHA256.fullmatch(self.sha256):
            raise ManifestError(f"entry {self.id!r}: sha256 is not 64 hexadecimal digits")
        path = PurePosixPath(self.path)
        if path.is_absolute() or ".." in path.parts:
            raise ManifestError(f"entry {self.id!r}: path {self.path!r} leaves the folder")


def validate_manifest(entries: Sequence[ManifestEntry]) -> None:
    """Raise ManifestError where two entries share an id, or one group lies in two splits."""
    seen: set[str] = set()
    split_of_group: dict[str, str] = {}
    for entry in entries:
        if entry.id in seen:
            raise ManifestError(f"id {entry.id!r} appears twice")
        seen.add(entry.id)
        split = split_of_group.setdefault(entry.group, entry.split)
        if split != entry.split:
            raise ManifestError(f"group {entry.group!r} lies in both {split} and {entry.split}")


def read_manifest(path: Path) -> list[ManifestEntry]:
    """Read and validate a manifest; ManifestError names the line that is wrong."""
    entries: list[ManifestEntry] = []
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                entries.append(entry_from_json(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                raise ManifestError(f"{path.name}, line {number}: {error!r}") from error
    validate_manifest(entries)
    return entries


def write_manifest(path: Path, entries: Iterable[ManifestEntry]) -> None:
    """Validate, then write a manifest."""
    listed = list(entries)
    validate_manifest(listed)
    with whole_file(path) as draft, draft.open("w", encoding="utf-8") as out:
        for entry in listed:
            out.write(json.dumps(asdict(entry), ensure_ascii=False) + "\n")


def entry_from_json(record: Mapping[str, Any]) -> ManifestEntry:
    """Build an entry from one decoded line; unknown or missing fields raise TypeError."""
    fields = dict(record)
    captions = tuple(Caption(**caption) for caption in fields.pop("captions", ()))
    tags = {str(kind): tuple(values) for kind, values in fields.pop("tags", {}).items()}
    fields["split"] = cast(Split, fields["split"])
    return ManifestEntry(captions=captions, tags=tags, **fields)
