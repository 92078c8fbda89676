"""The recorded part of the corpus: pieces of the pinned packages, without duplicates, captioned."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.checksum import file_sha256
from models.training.corpus.captions import describe_recording
from models.training.corpus.files import split_folder
from models.training.corpus.fingerprint import (
    SAME_PIECE,
    Fingerprint,
    fingerprint_file,
    similarity,
)
from models.training.corpus.pieces import LeftOut, Piece, first_match
from models.training.countdown import Say, counted
from models.training.manifest import ManifestEntry, Split

# Which copy of a duplicate stays: one that is held out must never be trained on.
_ORDER: dict[Split, int] = {"test": 0, "valid": 1, "train": 2}

# Embedded genres that say what the music is; the others name a game, or are known to be wrong.
_EMBEDDED_GENRES: dict[str, tuple[str, ...]] = {
    "romantic classical": ("orchestral", "classical"),
    "classical": ("classical",),
    "ambient": ("ambient",),
    "electronica": ("electronica", "electronic"),
    "death metal": ("death metal", "metal"),
    "house": ("house", "electronic"),
    "reggae": ("reggae",),
    "rock": ("rock",),
    "orchestral": ("orchestral",),
    "folk": ("folk",),
    "chiptune": ("chiptune",),
}

_CONTEXT_WORDS = (
    "battle", "boss", "cave", "castle", "credits", "dark", "desert", "dungeon", "forest", "ghost",
    "halloween", "christmas", "hell", "ice", "industrial", "intro", "jungle", "magic", "menu",
    "mission", "mountain", "night", "ocean", "race", "sad", "sea", "space", "town", "victory",
    "defeat", "war", "winter", "egypt", "greek", "japanese", "aztec", "celtic", "indian",
    "medieval", "tutorial", "village",
)  # fmt: skip


@dataclass(frozen=True)
class Kept:
    """A piece that goes into the corpus, at its place in the audio folder."""

    piece: Piece
    path: Path
    sha256: str


def place_pieces(pieces: Iterable[Piece], out: Path) -> list[Kept]:
    """Put each piece's bytes, unchanged, in its split's audio folder; byte copies only once."""
    kept: dict[str, Kept] = {}
    for piece in sorted(pieces, key=lambda p: (_ORDER[p.package.split], p.package.name)):
        folder = split_folder(out, piece.package.split) / "audio" / piece.package.name
        path = folder / _file_name(piece)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _place(piece, path)
        sha256 = file_sha256(path)
        kept.setdefault(sha256, Kept(piece, path, sha256))
    return list(kept.values())


def drop_duplicates(
    kept: Sequence[Kept], executor: Executor, say: Say = print
) -> tuple[list[Kept], list[LeftOut]]:
    """Leave out pieces that sound like one before them; held-out copies come first and stay."""
    ordered = sorted(kept, key=lambda k: _ORDER[k.piece.package.split])
    heard = executor.map(fingerprint_file, [k.path for k in ordered])
    prints = list(counted(heard, len(ordered), "fingerprints", say))
    unique: list[tuple[Kept, Fingerprint]] = []
    left_out = []
    for item, mark in zip(ordered, prints, strict=True):
        twin = next((u for u, other in unique if similarity(mark, other) >= SAME_PIECE), None)
        if twin is None:
            unique.append((item, mark))
        else:
            left_out.append(left_out_because(item, f"sounds like {_label(twin)}"))
    return [item for item, _ in unique], left_out


def drop_straddling_artists(kept: Sequence[Kept]) -> tuple[list[Kept], list[LeftOut]]:
    """Leave out of the weaker split what is by an artist of a held-out one."""
    strongest: dict[str, Split] = {}
    for item in sorted(kept, key=lambda k: _ORDER[k.piece.package.split]):
        if item.piece.artist:
            strongest.setdefault(_artist_key(item.piece.artist), item.piece.package.split)
    stay, left_out = [], []
    for item in kept:
        artist = item.piece.artist
        split = strongest[_artist_key(artist)] if artist else item.piece.package.split
        if split == item.piece.package.split:
            stay.append(item)
        else:
            left_out.append(left_out_because(item, f"artist is held out in {split}"))
    return stay, left_out


def to_entry(item: Kept, out: Path) -> ManifestEntry:
    """Describe a kept piece for the manifest of its split."""
    piece = item.piece
    genres = documented_genres(piece)
    described = describe_recording(
        genres=genres,
        instruments=(),
        title=piece.title,
        artist=piece.artist,
        context=_context(piece),
        seed=int(item.sha256[:8], 16),
    )
    artist = piece.artist
    return ManifestEntry(
        id=f"{piece.package.name}-{item.path.stem}",
        path=item.path.relative_to(split_folder(out, piece.package.split)).as_posix(),
        duration_s=round(piece.info.duration_s, 3),
        split=piece.package.split,
        group=f"artist:{_artist_key(artist)}" if artist else f"package:{piece.package.name}",
        source=f"{piece.package.name} {piece.package.version}",
        sha256=item.sha256,
        title=piece.title,
        artist=artist,
        licence=piece.terms.licence,
        attribution=piece.terms.attribution,
        captions=described.captions,
        tags=described.tags,
    )


def documented_genres(piece: Piece) -> tuple[str, ...]:
    """Return the genres that the package table or a trusted embedded tag gives to a piece."""
    noted = first_match(piece.package.genres, piece.found.inner_path)
    embedded = _EMBEDDED_GENRES.get(piece.info.tags.get("genre", "").lower(), ())
    return tuple(dict.fromkeys((*((noted,) if noted else ()), *embedded)))


def left_out_because(item: Kept, reason: str) -> LeftOut:
    """Return the record of a piece that was left out after it had been found."""
    piece = item.piece
    return LeftOut(
        piece.package.name,
        piece.found.inner_path,
        piece.info.duration_s,
        piece.terms.licence,
        reason,
    )


def _context(piece: Piece) -> tuple[str, ...]:
    text = f"{PurePosixPath(piece.found.inner_path).stem} {piece.title or ''}".lower()
    words = set(re.findall(r"[a-z]+", text))
    return tuple(word for word in _CONTEXT_WORDS if word in words)[:3]


def _file_name(piece: Piece) -> str:
    inner = PurePosixPath(piece.found.inner_path)
    # Two folders may hold files of one name: the parent's name keeps them apart.
    stem = re.sub(r"[^A-Za-z0-9]+", "-", f"{inner.parent.name}-{inner.stem}").strip("-").lower()
    return f"{stem}{inner.suffix.lower()}"


def _place(piece: Piece, path: Path) -> None:
    source = piece.found.source()
    part = path.with_name(path.name + ".part")
    if isinstance(source, bytes):
        part.write_bytes(source)
    else:
        try:
            os.link(source, part)
        except OSError:
            shutil.copyfile(source, part)
    part.replace(path)


def _label(item: Kept) -> str:
    return f"{item.piece.package.name}/{item.path.name}"


def _artist_key(artist: str) -> str:
    return re.sub(r"\W+", " ", artist.lower()).strip()
