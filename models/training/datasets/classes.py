"""Data sets of one label or value a recording: GTZAN, EmoMusic and the two GiantSteps key sets."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from models.training.datasets.common import DatasetError, Item, Terms, existing, read_rows
from models.training.manifest import Split
from models.training.scan import split_of

GTZAN_TERMS = Terms("GTZAN", "none stated; research use", "Tzanetakis and Cook 2002")
EMOMUSIC_TERMS = Terms("EmoMusic", "Creative Commons, per song", "Soleymani et al. 2013")
GIANTSTEPS_TERMS = Terms("GiantSteps key", "previews of a shop; research use", "Knees et al. 2015")

_GTZAN_BROKEN = "jazz.00054"
_FLATS = {"Db": "C#", "D#": "Eb", "Gb": "F#", "G#": "Ab", "A#": "Bb"}
# 100 parts of the larger key set train and 16 validate, parted by artist.
_KEY_VALID_SHARE = 16 / 116


def read_gtzan(folder: Path) -> Iterator[Item]:
    """Yield the recordings of the fault-filtered, artist-disjoint split, one genre each.

    Needs train_filtered.txt, valid_filtered.txt and test_filtered.txt in the folder (published by
    Kereliuk et al. beside "Deep Learning and Music Adversaries"); jazz.00054 cannot be decoded in
    any copy and is left out.
    """
    parts: tuple[tuple[str, Split], ...] = (
        ("train", "train"), ("valid", "valid"), ("test", "test")
    )  # fmt: skip
    for part, split in parts:
        table = folder / f"{part}_filtered.txt"
        if not table.is_file():
            raise DatasetError(
                f"{table.name} is missing: the split lists by Kereliuk et al. belong into {folder}"
            )
        for line in table.read_text("utf-8").split():
            stem = Path(line).stem
            if stem == _GTZAN_BROKEN:
                continue
            genre = stem.split(".")[0]
            places = [f"{place}{genre}/{stem}{suffix}"
                      for place in ("genres/", "genres_original/", "Data/genres_original/", "")
                      for suffix in (".wav", ".au")]  # fmt: skip
            yield Item(
                id=f"gtzan-{stem}",
                path=existing(folder, places),
                split=split,
                group=f"recording:{stem}",
                tags={"genre": (genre,)},
            )


def read_emomusic(folder: Path) -> Iterator[Item]:
    """Yield the 45 s clips with arousal and valence, as means of the listeners' marks (1 to 9).

    The split is by artist, from the artist's name alone (15 % test, 10 % valid): the artist-aware
    lists of the benchmark are not part of the data set, so figures compare only among runs of this
    reader.
    """
    marks = {
        row["song_id"]: row
        for row in read_rows(
            existing_table(folder, "static_annotations.csv"),
            ("song_id", "mean_arousal", "mean_valence"),
        )
    }
    for row in read_rows(existing_table(folder, "songs_info.csv"), ("song_id", "Artist")):
        mark = marks.get(row["song_id"])
        if mark is None:
            continue
        artist = row["Artist"].strip("\t ") or f"unknown {row['song_id']}"
        group = f"artist:{artist.casefold()}"
        number = row["song_id"]
        yield Item(
            id=f"emomusic-{number}",
            path=existing(folder, (f"clips_45seconds/{number}.mp3", f"{number}.mp3")),
            split=split_of(group, valid_share=0.10, test_share=0.15),
            group=group,
            tags={"arousal": (mark["mean_arousal"],), "valence": (mark["mean_valence"],)},
            title=row.get("Song title") or None,
            artist=artist,
        )


def read_giantsteps(folder: Path) -> Iterator[Item]:
    """Yield both key sets below one folder: the MTG set trains and validates, the other tests.

    Expects the two published repositories, giantsteps-mtg-key-dataset and giantsteps-key-dataset,
    with their audio. Of the MTG set only single keys that the annotator was sure of (confidence 2)
    are used; its parts are split by artist.
    """
    yield from _mtg_keys(folder, "giantsteps-mtg-key-dataset")
    yield from _test_keys(folder, "giantsteps-key-dataset")


def parse_key(text: str) -> str | None:
    """Return a key as "c# minor", lower case and one spelling each, or None for anything else."""
    match = re.fullmatch(r"([A-Ga-g][#b]?)[\s:]+(maj|min|major|minor)", text.strip())
    if match is None:
        return None
    tonic = match[1][0].upper() + match[1][1:]
    mode = "major" if match[2].startswith("maj") else "minor"
    return f"{_FLATS.get(tonic, tonic)} {mode}".lower()


def existing_table(folder: Path, name: str) -> Path:
    """Return a table in the folder itself or in its folder of annotations."""
    return folder / existing(folder, (f"annotations/{name}", name))


def _mtg_keys(folder: Path, name: str) -> Iterator[Item]:
    notes = folder / name / "annotations"
    artists = {
        row["ID"]: row["ARTIST"]
        for row in read_rows(notes / "beatport_metadata.txt", ("ID", "ARTIST"), "\t")
    }
    for row in read_rows(notes / "annotations.txt", ("ID", "MANUAL KEY", "C"), "\t"):
        key = parse_key(row["MANUAL KEY"])
        if key is None or row["C"] != "2":
            continue
        number = row["ID"]
        artist = artists.get(number) or f"unknown {number}"
        group = f"artist:{artist.casefold()}"
        yield Item(
            id=f"gs-mtg-{number}",
            path=_lofi(folder, name, number),
            split=split_of(group, valid_share=_KEY_VALID_SHARE, test_share=0.0),
            group=group,
            tags={"key": (key,)},
            artist=artists.get(number) or None,
        )


def _test_keys(folder: Path, name: str) -> Iterator[Item]:
    files = sorted((folder / name / "annotations" / "key").glob("*.key"))
    if not files:
        raise DatasetError(f"{name}/annotations/key holds no .key files below {folder}")
    for file in files:
        key = parse_key(file.read_text("utf-8"))
        if key is None:
            continue
        number = file.stem.removesuffix(".LOFI")
        yield Item(
            id=f"gs-{number}",
            path=_lofi(folder, name, number),
            split="test",
            group=f"gs:{number}",
            tags={"key": (key,)},
        )


def _lofi(folder: Path, name: str, number: str) -> str:
    stems = (f"{number}.LOFI.mp3", f"{number}.mp3", f"{number}.LOFI.wav", f"{number}.wav")
    return existing(folder, [f"{name}/audio/{stem}" for stem in stems])
