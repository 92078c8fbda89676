"""Make the demo library: excerpts of held-out, freely licensed pieces as Ogg Opus, with credits.

`library.json` beside the files says of each where it comes from, under which licence, by whom,
and which seconds were taken; the page shows it.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from models.checksum import file_sha256
from models.training.corpus.audio import Samples, decode, encode_opus
from models.training.corpus.demo_pieces import DEMO_PIECES, DemoPiece
from models.training.corpus.fetch import fetch_package
from models.training.corpus.packages import PACKAGES, Package
from models.training.corpus.pieces import Piece, find_pieces

SAMPLE_RATE_HZ = 48_000
BIT_RATE = 80_000
EXCERPT_S = 45.0
FADE_S = 1.5
# Even loudness without squashing: the mean level of the loud half, and a ceiling for the peak.
LOUD_LEVEL_DB = -18.0
CEILING = 0.89

LICENCE_URLS: dict[str, str] = {
    "CC-BY-3.0": "https://creativecommons.org/licenses/by/3.0/",
    "CC-BY-SA-3.0": "https://creativecommons.org/licenses/by-sa/3.0/",
    "CC0-1.0": "https://creativecommons.org/publicdomain/zero/1.0/",
    "GPL-2": "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
    "GPL-2+": "https://www.gnu.org/licenses/old-licenses/gpl-2.0.html",
    "GPL-3": "https://www.gnu.org/licenses/gpl-3.0.html",
    "GPL-3+": "https://www.gnu.org/licenses/gpl-3.0.html",
    "MIT": "https://opensource.org/license/mit",
}


class DemoError(RuntimeError):
    """A piece of the demo library is missing, held in training, or not free to pass on."""


@dataclass(frozen=True)
class Credit:
    """What library.json says of one file."""

    file: str
    title: str
    artist: str
    album: str
    genre: str | None
    year: int | None
    licence: str
    licence_url: str
    attribution: str
    source: str
    source_file: str
    sha256: str
    start_s: float
    duration_s: float


def build_demo_library(
    work: Path,
    library: Path,
    *,
    pieces: Sequence[DemoPiece] = DEMO_PIECES,
    say: Callable[[str], None] = print,
) -> list[Credit]:
    """Fetch the packages below `work` and write the excerpts and their credits to `library`."""
    library.mkdir(parents=True, exist_ok=True)
    by_name = {package.name: package for package in PACKAGES}
    found = {
        name: _pieces_by_path(by_name[name], work)
        for name in sorted({piece.package for piece in pieces})
    }
    made = [_make(piece, found[piece.package], library) for piece in pieces]
    _write_licences(work, library)
    text = json.dumps([asdict(credit) for credit in made], indent=1, ensure_ascii=False)
    (library / "library.json").write_text(text + "\n", encoding="utf-8")
    say(f"{len(made)} excerpts, {sum(credit.duration_s for credit in made) / 60:.1f} minutes")
    return made


def excerpt(samples: Samples, start_s: float, sample_rate_hz: int) -> Samples:
    """Cut, level and fade an excerpt: float32 [C, T] to [C, at most 45 s]."""
    length = int(EXCERPT_S * sample_rate_hz)
    start = max(0, min(int(start_s * sample_rate_hz), samples.shape[1] - length))
    cut = samples[:, start : start + length].copy()
    seconds = cut.shape[1] // sample_rate_hz
    blocks = cut[:, : seconds * sample_rate_hz].reshape(cut.shape[0], seconds, -1)
    levels = np.sort(np.square(blocks).mean(axis=(0, 2)))
    loud = float(np.sqrt(levels[seconds // 2 :].mean()))
    peak = float(np.abs(cut).max())
    gain = min(10 ** (LOUD_LEVEL_DB / 20) / loud, CEILING / peak)
    ramp = np.linspace(0.0, 1.0, int(FADE_S * sample_rate_hz), dtype=np.float32)
    cut *= np.float32(gain)
    cut[:, : len(ramp)] *= ramp
    cut[:, -len(ramp) :] *= ramp[::-1]
    return cut


def _pieces_by_path(package: Package, work: Path) -> dict[str, Piece]:
    if package.split != "test":
        raise DemoError(f"{package.name} is trained on and cannot be shown as unheard")
    folder = fetch_package(package, work / "archives", work / "packages")
    pieces = [item for item in find_pieces(package, folder) if isinstance(item, Piece)]
    return {piece.found.inner_path: piece for piece in pieces}


def _make(demo: DemoPiece, pieces: dict[str, Piece], library: Path) -> Credit:
    ending = "/" + demo.inner_name
    piece = next((p for path, p in pieces.items() if path.endswith(ending)), None)
    if piece is None:
        raise DemoError(f"{demo.file}: no {demo.inner_name} in {demo.package}")
    licence = piece.terms.licence
    if licence not in LICENCE_URLS:
        raise DemoError(f"{demo.file}: {licence} is not a licence that the demo library takes")
    samples = decode(piece.found.source(), SAMPLE_RATE_HZ)[:2]
    cut = excerpt(samples, demo.start_s, SAMPLE_RATE_HZ)
    path = library / f"{demo.file}.opus"
    tags = {"title": demo.title, "artist": demo.artist, "album": demo.album}
    tags |= {"genre": demo.genre} if demo.genre else {}
    tags |= {"date": str(demo.year)} if demo.year else {}
    url = LICENCE_URLS[licence]
    attribution = f"{demo.title} by {demo.artist}; excerpt, faded and levelled"
    tags |= {"license": url, "copyright": piece.terms.attribution, "comment": attribution}
    encode_opus(path, cut, SAMPLE_RATE_HZ, BIT_RATE, tags)
    return Credit(
        file=path.name,
        title=demo.title,
        artist=demo.artist,
        album=demo.album,
        genre=demo.genre,
        year=demo.year,
        licence=licence,
        licence_url=url,
        attribution=f"{attribution}. Rights: {piece.terms.attribution}",
        source=f"Debian package {piece.package.name} {piece.package.version}",
        source_file=piece.found.inner_path,
        sha256=file_sha256(path),
        start_s=demo.start_s,
        duration_s=round(cut.shape[1] / SAMPLE_RATE_HZ, 3),
    )


def _write_licences(work: Path, library: Path) -> None:
    """Copy the texts that a licence asks to be passed on: the GPL's, and one MIT notice."""
    for name in ("GPL-2", "GPL-3"):
        shutil.copyfile(f"/usr/share/common-licenses/{name}", library / f"LICENCE-{name}.txt")
    doc = work / "packages" / "pax-britannica-data" / "usr/share/doc/pax-britannica-data/copyright"
    shutil.copyfile(doc, library / "LICENCE-pax-britannica.txt")
