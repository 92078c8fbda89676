"""Data sets of captions: MusicCaps and the Song Describer Dataset.

Sources: musiccaps-public.csv (audio is fetched by each user, so several habits of naming it are
understood); song_describer.csv and its folder of audio.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from models.training.datasets.common import DatasetError, Item, Terms, find_audio, read_rows
from models.training.manifest import Caption

MUSICCAPS_TERMS = Terms(
    "MusicCaps",
    "captions CC-BY-SA-4.0; audio under its uploaders' terms",
    "Agostinelli et al. 2023",
)
SONG_DESCRIBER_TERMS = Terms(
    "Song Describer Dataset", "captions CC-BY-SA-4.0; audio: audio_licenses.txt",
    "Manco et al. 2023",
)  # fmt: skip


def read_musiccaps(folder: Path) -> Iterator[Item]:
    """Yield the ten-second clips: those of AudioSet's evaluation part are test, the others train.

    A clip's file may be called by its video's id alone, or with its start (and end) behind it.
    """
    audio = find_audio(folder)
    columns = ("ytid", "start_s", "end_s", "caption", "aspect_list", "is_audioset_eval")
    for row in read_rows(folder / "musiccaps-public.csv", columns):
        video, start, end = row["ytid"], row["start_s"], row["end_s"]
        stems = (
            video, f"{video}_{start}", f"{video}_{start}_{end}", f"{video}_{start}-{end}",
            f"{video}-{start}-{end}", f"[{video}]-[{start}-{end}]",
        )  # fmt: skip
        path = next((audio[stem] for stem in stems if stem in audio), f"{video}.wav")
        yield Item(
            id=f"musiccaps-{video}-{start}",
            path=path,
            split="test" if row["is_audioset_eval"].lower() == "true" else "train",
            group=f"video:{video}",
            tags={"aspect": _aspects(row["aspect_list"])},
            captions=(Caption(row["caption"], "fact"),),
        )


def read_song_describer(folder: Path, valid_subset: bool = False) -> Iterator[Item]:
    """Yield the tracks, all of them test, each with every caption that somebody wrote of it.

    `valid_subset` keeps only the captions that the authors checked.
    """
    audio = find_audio(folder)
    tracks: dict[str, list[dict[str, str]]] = {}
    columns = ("caption_id", "track_id", "caption", "is_valid_subset", "artist_id", "path")
    for row in read_rows(folder / "song_describer.csv", columns):
        if not valid_subset or row["is_valid_subset"].lower() == "true":
            tracks.setdefault(row["track_id"], []).append(row)
    if not tracks:
        raise DatasetError("song_describer.csv names no track")
    for track, rows in tracks.items():
        first = rows[0]
        stem = Path(first["path"]).stem
        path = audio.get(f"{stem}.2min") or audio.get(stem) or first["path"]
        yield Item(
            id=f"sdd-{track}",
            path=path,
            split="test",
            group=f"artist:{first['artist_id']}",
            captions=tuple(Caption(row["caption"], "fact") for row in rows),
        )


def _aspects(text: str) -> tuple[str, ...]:
    """Read a list that was written as Python source: "['pop', 'tinny wide hi hats']"."""
    try:
        values = ast.literal_eval(text)
    except (SyntaxError, ValueError) as error:
        raise DatasetError(f"not a list of aspects: {text[:60]!r}") from error
    return tuple(
        dict.fromkeys(str(value).strip().lower() for value in values if str(value).strip())
    )
