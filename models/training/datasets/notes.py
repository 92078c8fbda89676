"""Data sets of single sounds and voices: NSynth and VocalSet."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from models.training.datasets.common import DatasetError, Item, Terms
from models.training.manifest import Split
from models.training.scan import split_of

NSYNTH_TERMS = Terms("NSynth", "CC-BY-4.0", "Engel et al. 2017")
VOCALSET_TERMS = Terms("VocalSet", "CC-BY-4.0", "Wilkins et al. 2018")

VocalTask = Literal["technique", "singer"]

TECHNIQUES = (
    "belt", "breathy", "inhaled", "lip_trill", "spoken", "straight", "trill", "trillo", "vibrato",
    "vocal_fry",
)  # fmt: skip
_TEST_SINGERS = frozenset({"f2", "f8", "m3", "m5", "m10"})


def read_nsynth(folder: Path) -> Iterator[Item]:
    """Yield the notes of the official parts with instrument family, source, pitch and velocity.

    Test shares instruments with validation, as published; only notes are kept apart.
    """
    found = False
    for split in ("train", "valid", "test"):
        table = folder / f"nsynth-{split}" / "examples.json"
        if not table.is_file():
            continue
        found = True
        notes: dict[str, dict[str, object]] = json.loads(table.read_text("utf-8"))
        for name, note in sorted(notes.items()):
            yield Item(
                id=f"nsynth-{name}",
                path=f"nsynth-{split}/audio/{name}.wav",
                split=split,
                group=f"note:{name}",
                tags={
                    "instrument": (str(note["instrument_family_str"]),),
                    "source": (str(note["instrument_source_str"]),),
                    "pitch": (str(note["pitch"]),),
                    "velocity": (str(note["velocity"]),),
                },
            )
    if not found:
        raise DatasetError(f"no nsynth-train, nsynth-valid or nsynth-test below {folder}")


def read_vocalset(folder: Path, task: VocalTask = "technique") -> Iterator[Item]:
    """Yield the recordings of 20 singers, split for telling techniques or for telling singers.

    Technique: ten of them; five singers test (the authors' own list), recordings of the others are
    parted 60 to 40 by name. Singer: recordings are parted 48 to 32 to 20 by name. Where silence is
    cut off and recordings are cut into chunks is left to the probe.
    """
    files = sorted((folder / "FULL").rglob("*.wav")) or sorted(folder.rglob("*.wav"))
    if not files:
        raise DatasetError(f"no .wav files below {folder}")
    for file in files:
        singer = re.match(r"(?:female|male|[fm])(\d+)$", _singer_folder(file, folder))
        if singer is None:
            continue
        who = f"{_singer_folder(file, folder)[0]}{singer[1]}"
        technique = _technique(file, folder)
        if task == "technique" and technique is None:
            continue
        relative = file.relative_to(folder).as_posix()
        yield Item(
            id=f"vocalset-{who}-{file.stem}",
            path=relative,
            split=_vocal_split(task, who, relative),
            group=f"recording:{relative}",
            tags={"singer": (who,), "technique": (technique,) if technique else ()},
            artist=who,
        )


def _singer_folder(file: Path, folder: Path) -> str:
    parts = [part for part in file.relative_to(folder).parts[:-1] if part != "FULL"]
    return parts[0] if parts else ""


def _technique(file: Path, folder: Path) -> str | None:
    """A technique is the folder that a recording lies in; excerpts and long notes have others."""
    names = [part.lower().replace(" ", "_") for part in file.relative_to(folder).parts[:-1]]
    return next((name for name in reversed(names) if name in TECHNIQUES), None)


def _vocal_split(task: VocalTask, singer: str, recording: str) -> Split:
    if task == "technique":
        if singer in _TEST_SINGERS:
            return "test"
        return split_of(recording, valid_share=0.4, test_share=0.0)
    return split_of(recording, valid_share=0.32, test_share=0.2)
