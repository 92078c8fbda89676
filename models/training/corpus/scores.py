"""Whole pieces from freely licensed scores, played with the soundfonts of the renders.

Freedoom's levels have MIDI music of rock and metal bands, orchestras and synthesizers, of which the
recordings have little. The scores are arranged by people, whole and long, so the teacher hears them
in several windows, as it does recordings. Known of each are its instruments; key and tempo change.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.checksum import file_sha256
from models.training.corpus import audio, midi
from models.training.corpus.captions import describe_recording
from models.training.corpus.instruments import program_name
from models.training.corpus.packages import FREEDOOM
from models.training.corpus.pieces import read_stanzas
from models.training.corpus.render import FONTS, SAMPLE_RATE_HZ, RenderError, SoundFont, render
from models.training.corpus.renders import BIT_RATE
from models.training.countdown import Say, counted
from models.training.manifest import ManifestEntry

LONGEST_S = 120.0
_SHORTEST_S = 25.0
_FOLDER = Path("audio") / "scores"
# A voice of fewer notes, or of a smaller share of all, is not worth a caption.
_LEAST_NOTES = 8
_LEAST_SHARE = 0.04
_MOST_NAMED = 5


@dataclass(frozen=True)
class Score:
    """A MIDI file found in a package; `name` is its lump's."""

    name: str
    data: bytes

    @property
    def id(self) -> str:
        return f"freedoom-{self.name.lower().replace('_', '-')}"

    @property
    def lot(self) -> int:
        """A number drawn by the bytes: it decides soundfont and room."""
        return int(hashlib.sha256(self.data).hexdigest()[:8], 16)

    @property
    def font(self) -> SoundFont:
        return FONTS[self.lot % len(FONTS)]


def find_scores(folder: Path) -> list[Score]:
    """Read the different MIDI scores of a package's WAD files; ValueError where one is damaged."""
    found: dict[bytes, Score] = {}
    for file in sorted(folder.rglob("*.wad")):
        for name, data in read_lumps(file.read_bytes(), file.name):
            if name.startswith("D_") and data[:4] == b"MThd":
                found.setdefault(data, Score(f"{file.stem}-{name[2:]}", data))
    return list(found.values())


def read_lumps(wad: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    """Yield names and bytes of a WAD's entries; ValueError where its directory is damaged.

    A header of magic, count and directory offset; each directory entry has offset, size and a name
    of up to eight letters.
    """
    if wad[:4] not in {b"IWAD", b"PWAD"} or len(wad) < 12:
        raise ValueError(f"{name} is not a WAD file")
    count, directory = struct.unpack_from("<ii", wad, 4)
    if count < 0 or directory < 0 or directory + 16 * count > len(wad):
        raise ValueError(f"{name}: its directory lies outside the file")
    for number in range(count):
        start, size, title = struct.unpack_from("<ii8s", wad, directory + 16 * number)
        if start < 0 or size < 0 or start + size > len(wad):
            raise ValueError(f"{name}: entry {number} lies outside the file")
        yield title.rstrip(b"\0").decode("ascii", "replace"), wad[start : start + size]


def build_scores(
    out: Path, folder: Path, workers: int, say: Say = print
) -> tuple[list[ManifestEntry], list[str]]:
    """Play a package's scores below `out`; return entries, and failures with their reasons.

    What was played before is kept. TermsError where its terms are not the declared ones.
    """
    read_stanzas(FREEDOOM, folder)
    scores = find_scores(folder)
    (out / _FOLDER).mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(max_workers=workers) as pool:
        results = pool.map(partial(_play, out), scores, chunksize=2)
        played = list(counted(results, len(scores), "scores played", say))
    entries = [result for result in played if isinstance(result, ManifestEntry)]
    failures = [
        f"{score.id}: {result}"
        for score, result in zip(scores, played, strict=True)
        if isinstance(result, str)
    ]
    return entries, failures


def _play(out: Path, score: Score) -> ManifestEntry | str:
    target = out / _FOLDER / f"{score.id}-{score.font.family}.opus"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            file = Path(scratch) / "score.mid"
            file.write_bytes(score.data)
            names = heard_instruments(midi.read_cast(file))
            if not target.exists():
                samples = render(file, score.font, score.lot % 1000 / 1000, LONGEST_S)
                part = target.with_suffix(f".{os.getpid()}.part")
                audio.encode_opus(part, samples, SAMPLE_RATE_HZ, BIT_RATE, {"title": score.id})
                part.replace(target)
    except (RenderError, midi.MidiError, audio.AudioError) as error:
        return str(error)
    duration_s = audio.probe(target).duration_s
    if duration_s < _SHORTEST_S:
        return f"{duration_s:.0f} s are too short"
    return _entry(score, target, duration_s, names)


def heard_instruments(cast: midi.Cast) -> tuple[str, ...]:
    """Name the instruments that play enough to be heard, the busiest first; drums last."""
    total = sum(cast.notes_per_program.values()) or 1
    busiest = sorted(cast.notes_per_program.items(), key=lambda item: -item[1])
    names = [
        program_name(program)
        for program, count in busiest
        if count >= _LEAST_NOTES and count / total >= _LEAST_SHARE
    ]
    drums = ["drums"] if cast.drum_notes >= _LEAST_NOTES else []
    return (*list(dict.fromkeys(names))[:_MOST_NAMED], *drums)


def _entry(
    score: Score, target: Path, duration_s: float, instruments: Sequence[str]
) -> ManifestEntry:
    assert FREEDOOM.terms is not None
    described = describe_recording(
        genres=(),
        instruments=instruments,
        title=None,
        artist=None,
        context=(),
        seed=score.lot,
    )
    return ManifestEntry(
        id=target.stem,
        path=(_FOLDER / target.name).as_posix(),
        duration_s=round(duration_s, 3),
        split=FREEDOOM.split,
        group=f"package:{FREEDOOM.name}",
        source=f"render: {FREEDOOM.name} {FREEDOOM.version} {score.name} with {score.font.name}",
        sha256=file_sha256(target),
        title=None,
        artist=None,
        licence=FREEDOOM.terms.licence,
        attribution=f"{FREEDOOM.terms.attribution}; played with the soundfont {score.font.name}",
        captions=described.captions,
        tags=described.tags,
    )
