"""Find the pieces of music in an unpacked package, with their terms, and say why others are not.

A piece is an audio file, or a member of a zip archive under any of its game names, of 25 s or
more, that no note in the package table leaves out.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from pathlib import Path, PurePosixPath

from models.training.corpus.audio import AudioError, AudioInfo, probe
from models.training.corpus.copyright_file import Stanza, Terms, find_terms, parse_stanzas
from models.training.corpus.packages import Package
from models.training.corpus.rules import (
    EVALUATED_ARTISTS,
    RESERVED_ARTISTS,
    TRAINING_LICENCES,
)
from models.training.scan import AUDIO_SUFFIXES

SHORTEST_S = 25.0
_ARCHIVES = frozenset({".pk3", ".pk4", ".zip", ".wz"})


class TermsError(RuntimeError):
    """A copyright file does not say what the package table claims that it says."""


@dataclass(frozen=True)
class Found:
    """One audio file of a package: its path inside, and its bytes where a zip archive held it."""

    inner_path: str
    file: Path
    member: str | None

    def source(self) -> Path | bytes:
        """Return what a decoder opens."""
        if self.member is None:
            return self.file
        return _open_archive(self.file).read(self.member)


@dataclass(frozen=True)
class Piece:
    """A piece of music with what its container and its package say about it."""

    package: Package
    found: Found
    info: AudioInfo
    terms: Terms
    title: str | None
    artist: str | None


@dataclass(frozen=True)
class LeftOut:
    """A file that was looked at and not taken, and why."""

    package: str
    inner_path: str
    duration_s: float
    licence: str
    reason: str


def find_pieces(package: Package, folder: Path) -> Iterator[Piece | LeftOut]:
    """Yield every audio file of 25 s or more, as a piece or with the reason why it is none."""
    stanzas = _read_stanzas(package, folder)
    for found in _audio_files(folder):
        try:
            info = probe(found.source())
        except AudioError as error:
            yield LeftOut(package.name, found.inner_path, 0.0, "", str(error)[:120])
            continue
        if info.duration_s < SHORTEST_S:
            continue
        terms = _terms(package, stanzas, found.inner_path)
        piece = Piece(
            package=package,
            found=found,
            info=info,
            terms=terms,
            title=_title(info),
            artist=_artist(package, found.inner_path, info),
        )
        reason = _reason_to_leave_out(piece)
        if reason is None:
            yield piece
        else:
            yield LeftOut(package.name, found.inner_path, info.duration_s, terms.licence, reason)


def first_match(notes: tuple[tuple[str, str], ...], inner_path: str) -> str | None:
    """Return the note of the first pattern that a path matches."""
    return next((note for pattern, note in notes if fnmatchcase(inner_path, pattern)), None)


def is_reserved_artist(*names: str | None) -> bool:
    """Say whether any of the names is, or contains, an artist of the reserved packages."""
    joined = " ".join(name for name in names if name).lower()
    return any(artist.lower() in joined for artist in RESERVED_ARTISTS)


def licence_allows_training(licence: str) -> bool:
    """Say whether a licence, or one of its alternatives, is compatible with the weights'."""
    return any(part in TRAINING_LICENCES for part in licence.split(" or "))


def _reason_to_leave_out(piece: Piece) -> str | None:
    inner = piece.found.inner_path
    tags = piece.info.tags
    noted = first_match(piece.package.leave_out, inner)
    if noted is not None:
        return noted
    if is_reserved_artist(piece.artist, tags.get("composer"), tags.get("album_artist"), inner):
        return "by an artist of the reserved packages"
    if piece.package.split == "test":
        return None
    if (piece.artist or "").strip().lower() in EVALUATED_ARTISTS:
        return "artist is held out for the labelled evaluation"
    if not licence_allows_training(piece.terms.licence):
        return f"licence not compatible with the weights': {piece.terms.licence}"
    return None


def _read_stanzas(package: Package, folder: Path) -> list[Stanza]:
    path = folder / "usr" / "share" / "doc" / package.name / "copyright"
    text = path.read_text(encoding="utf-8", errors="replace")
    if package.terms is not None:
        if _squeeze(package.terms.evidence) not in _squeeze(text):
            raise TermsError(f"{package.name}: {package.terms.evidence!r} is not in its terms")
        return []
    stanzas = parse_stanzas(text)
    if not stanzas:
        raise TermsError(f"{package.name}: terms are free text and none are declared")
    return stanzas


def _terms(package: Package, stanzas: list[Stanza], inner_path: str) -> Terms:
    if package.terms is not None:
        return Terms(package.terms.licence, package.terms.attribution)
    terms = find_terms(stanzas, inner_path)
    if terms is None:
        return Terms("unknown", "")
    return Terms(terms.licence, terms.attribution[:300])


@lru_cache(maxsize=1)
def _open_archive(path: Path) -> zipfile.ZipFile:
    # Reading the directory of an archive of 20,000 members takes half a second, each time.
    return zipfile.ZipFile(path)


def _audio_files(folder: Path) -> Iterator[Found]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        inner = path.relative_to(folder).as_posix()
        if path.suffix.lower() in AUDIO_SUFFIXES:
            yield Found(inner, path, None)
        elif path.suffix.lower() in _ARCHIVES and zipfile.is_zipfile(path):
            for member in sorted(_open_archive(path).namelist()):
                if PurePosixPath(member).suffix.lower() in AUDIO_SUFFIXES:
                    yield Found(f"{inner}/{member}", path, member)


def _title(info: AudioInfo) -> str | None:
    title = info.tags.get("title", "").strip()
    # Ripped and numbered titles say nothing; lists of titles are a tagger's accident.
    if not title or ";" in title or re.search(r"^\d|track ?\d|\.(mp3|wav|aiff)|^-", title, re.I):
        return None
    return title


def _artist(package: Package, inner_path: str, info: AudioInfo) -> str | None:
    noted = first_match(package.artists, inner_path)
    if noted is not None:
        return noted
    artist = info.tags.get("artist") or info.tags.get("composer") or ""
    artist = artist.strip()
    return artist if artist and not artist.startswith(("<", "http", "www")) else None


def _squeeze(text: str) -> str:
    return re.sub(r"\s+", " ", text)
