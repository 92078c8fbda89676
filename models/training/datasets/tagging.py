"""Data sets of tags: MagnaTagATune and MTG-Jamendo.

Sources: MagnaTagATune, annotations_final.csv and clip_info_final.csv beside the folders 0 to f of
mp3 files; MTG-Jamendo, the tables of its repository (data/splits) beside the folder of audio.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from models.training.datasets.common import DatasetError, Item, Terms, existing, read_rows
from models.training.manifest import Split

MTT_TERMS = Terms(
    "MagnaTagATune", "CC BY-NC-SA 1.0 (Magnatune)", "Magnatune artists; Law et al. 2009"
)
JAMENDO_TERMS = Terms(
    "MTG-Jamendo", "Creative Commons, per track: audio_licenses.txt", "Bogdanov et al. 2019"
)

MttSplit = Literal["common", "marble"]
JamendoSubset = Literal["all", "top50tags", "genre", "instrument", "moodtheme"]

_MTT_TOP = 50
_MTT_TRAIN, _MTT_VALID = frozenset("0123456789ab"), frozenset("c")
_JAMENDO_PARTS: tuple[tuple[str, Split], ...] = (
    ("train", "train"), ("validation", "valid"), ("test", "test")
)  # fmt: skip
_JAMENDO_AUDIO = ("", "audio", "raw_30s", "raw_30s/audio", "raw_30s_audio", "audio-low")


def read_magnatagatune(folder: Path, split: MttSplit = "common") -> Iterator[Item]:
    """Yield the clips with their tags among the 50 most frequent.

    Both splits go by the first hexadecimal digit of the path: 0 to b train, c valid, d to f test.
    "common" leaves clips out that carry none of the 50 tags, as most papers do; "marble" keeps
    them, as that benchmark does. Songs stay together, artists do not: so it was published.
    """
    rows = list(read_rows(folder / "annotations_final.csv", ("clip_id", "mp3_path"), "\t"))
    if not rows:
        raise DatasetError("annotations_final.csv holds no clips")
    labels = [name for name in rows[0] if name not in ("clip_id", "mp3_path")]
    counts = Counter(dict.fromkeys(labels, 0))
    for row in rows:
        counts.update(name for name in labels if row[name] == "1")
    # Equal counts keep the order of the columns.
    top = [name for name, _ in counts.most_common(_MTT_TOP)]
    known = {}
    if (folder / "clip_info_final.csv").is_file():
        known = {
            row["clip_id"]: row
            for row in read_rows(folder / "clip_info_final.csv", ("clip_id", "artist"), "\t")
        }
    for row in rows:
        tags = tuple(name for name in top if row[name] == "1")
        if split == "common" and not tags:
            continue
        about = known.get(row["clip_id"], {})
        song = row["mp3_path"].rsplit("-", 2)[0]
        yield Item(
            id=f"mtt-{row['clip_id']}",
            path=existing(folder, (row["mp3_path"], f"mp3/{row['mp3_path']}")),
            split=_mtt_split(row["mp3_path"]),
            group=f"song:{song}",
            tags={"tag": tags},
            title=about.get("title") or None,
            artist=about.get("artist") or None,
        )


def read_mtg_jamendo(
    folder: Path, subset: JamendoSubset = "top50tags", split: int = 0
) -> Iterator[Item]:
    """Yield the tracks of one of the five published splits; no artist is in two parts.

    Tags keep their published kinds: genre, instrument, mood/theme.
    """
    stem = "autotagging" if subset == "all" else f"autotagging_{subset}"
    for part, name in _JAMENDO_PARTS:
        table = folder / "data" / "splits" / f"split-{split}" / f"{stem}-{part}.tsv"
        if not table.is_file():
            raise DatasetError(f"{table.relative_to(folder)} is missing below {folder}")
        for line in table.read_text("utf-8").splitlines()[1:]:
            track, artist, _album, path, _duration, *tags = line.split("\t")
            low = path.removesuffix(".mp3") + ".low.mp3"
            places = [f"{place}/{file}".strip("/") for place in _JAMENDO_AUDIO
                      for file in (path, low)]  # fmt: skip
            yield Item(
                id=f"jamendo-{track}",
                path=existing(folder, places),
                split=name,
                group=f"artist:{artist}",
                tags=_by_kind(tags),
            )


def _mtt_split(path: str) -> Split:
    first = path[:1].lower()
    if first in _MTT_TRAIN:
        return "train"
    return "valid" if first in _MTT_VALID else "test"


def _by_kind(tags: list[str]) -> dict[str, tuple[str, ...]]:
    kinds: dict[str, list[str]] = {}
    for tag in tags:
        kind, _, value = tag.partition("---")
        if value.strip():
            kinds.setdefault(kind, []).append(value.strip().lower())
    return {kind: tuple(values) for kind, values in kinds.items()}
