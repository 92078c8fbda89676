"""Make a manifest of a person's own folder of music, from the files and their embedded tags."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import av

from models.checksum import file_sha256
from models.training.manifest import Caption, ManifestEntry, Split

AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aiff", ".flac", ".m4a", ".mp3", ".oga", ".ogg", ".opus", ".wav", ".wma"}
)
_SHORTEST_S = 3.0


@dataclass(frozen=True)
class SkippedFile:
    """A file that is not in the manifest, and why."""

    path: str
    reason: str


def scan_folder(
    folder: Path, valid_share: float = 0.1, test_share: float = 0.1
) -> Iterator[ManifestEntry | SkippedFile]:
    """Yield an entry for every readable audio file below `folder`, each content once.

    Tracks of one artist (of one folder, where no artist is named) share a group, and a group is
    in one split whole: which one follows from the group's name, so that a grown folder keeps its
    splits.
    """
    seen: set[str] = set()
    for path in sorted(_audio_files(folder)):
        relative = path.relative_to(folder).as_posix()
        sha256 = file_sha256(path)
        if sha256 in seen:
            yield SkippedFile(relative, "the same content as another file")
            continue
        seen.add(sha256)
        try:
            duration_s, tags = probe_audio(path)
        except (av.FFmpegError, ValueError) as error:
            yield SkippedFile(relative, f"not readable as audio: {error}")
            continue
        if duration_s < _SHORTEST_S:
            yield SkippedFile(relative, f"only {duration_s:.1f} s long")
            continue
        yield _entry(relative, sha256, duration_s, tags, valid_share, test_share)


def split_of(group: str, valid_share: float, test_share: float) -> Split:
    """Return the split of a group, by its name alone."""
    digest = hashlib.sha256(group.encode()).digest()
    point = int.from_bytes(digest[:8], "big") / 2**64
    if point < test_share:
        return "test"
    return "valid" if point < test_share + valid_share else "train"


def _entry(
    relative: str,
    sha256: str,
    duration_s: float,
    tags: dict[str, str],
    valid_share: float,
    test_share: float,
) -> ManifestEntry:
    artist, title = tags.get("artist"), tags.get("title")
    parent = Path(relative).parent.as_posix()
    group = f"artist:{artist.casefold()}" if artist else f"folder:{parent}"
    genres = tuple(
        part.strip().lower()
        for part in tags.get("genre", "").replace("/", ",").replace(";", ",").split(",")
        if part.strip()
    )
    captions = [Caption(f"{genre} music", "fact") for genre in genres]
    if title:
        captions.append(Caption(title, "title", 0.3))
    return ManifestEntry(
        id=f"{Path(relative).stem}-{sha256[:8]}",
        path=relative,
        duration_s=round(duration_s, 3),
        split=split_of(group, valid_share, test_share),
        group=group,
        source="own library",
        sha256=sha256,
        title=title,
        artist=artist,
        licence="not stated",
        attribution=artist or "",
        captions=tuple(captions),
        tags={"genre": genres} if genres else {},
    )


def _audio_files(folder: Path) -> Iterable[Path]:
    return (p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in AUDIO_SUFFIXES)


def probe_audio(path: Path) -> tuple[float, dict[str, str]]:
    """Return a file's duration in seconds and its embedded tags, by lower-case names.

    Raises av.FFmpegError or ValueError for what is not audio, or states no duration.
    """
    with av.open(str(path), metadata_errors="replace") as container:
        if not container.streams.audio:
            raise ValueError("no audio stream")
        stream = container.streams.audio[0]
        if container.duration is not None:
            duration_s = container.duration / av.time_base
        elif stream.duration is not None and stream.time_base is not None:
            duration_s = float(stream.duration * stream.time_base)
        else:
            raise ValueError("no duration is stated")
        tags = {**container.metadata, **stream.metadata}
    return duration_s, {name.lower(): value for name, value in tags.items() if value.strip()}
