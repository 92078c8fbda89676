"""Readers of public data sets, on miniature folders with the published names and columns."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from models.training.datasets.classes import parse_key
from models.training.datasets.common import DatasetError
from models.training.datasets.registry import READERS, DatasetManifest, write_dataset_manifest
from models.training.manifest import ManifestEntry, read_manifest
from tests.support.audio import write_audio

RATE_HZ = 8_000


def sound(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pitch_hz = 200 + 37 * (sum(path.name.encode()) % 20)
    time_s = np.arange(int(seconds * RATE_HZ), dtype=np.float32) / RATE_HZ
    wave = 0.3 * np.sin(2 * np.pi * pitch_hz * time_s).astype(np.float32)
    written = write_audio(path.with_suffix(".wav") if path.suffix == ".au" else path, wave, RATE_HZ)
    assert written.exists()


def table(path: Path, rows: list[list[str]], delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    quoted = [[f'"{cell}"' if delimiter in cell else cell for cell in row] for row in rows]
    path.write_text("".join(delimiter.join(row) + "\n" for row in quoted), "utf-8")


def by_id(made: DatasetManifest) -> dict[str, ManifestEntry]:
    # What was written is what is returned, and a valid manifest.
    assert tuple(read_manifest(made.path)) == made.entries
    return {entry.id: entry for entry in made.entries}


def make_mtt(folder: Path) -> None:
    clips = [
        ("2", "0/band-album-01-song-0-29.mp3", "1", "0"),
        ("3", "0/band-album-01-song-29-58.mp3", "1", "1"),
        ("4", "c/other-album-02-air-0-29.mp3", "0", "1"),
        ("5", "e/third-album-03-fugue-0-29.mp3", "0", "0"),
        ("6", "d/fourth-album-04-gone-0-29.mp3", "1", "0"),
    ]
    table(
        folder / "annotations_final.csv",
        [["clip_id", "guitar", "no voice", "mp3_path"]]
        + [[number, guitar, quiet, path] for number, path, guitar, quiet in clips],
        "\t",
    )
    table(
        folder / "clip_info_final.csv",
        [["clip_id", "track_number", "title", "artist", "mp3_path"],
         ["2", "1", "Song", "Band", clips[0][1]]],
        "\t",
    )  # fmt: skip
    for _, path, _, _ in clips[:4]:
        sound(folder / path)
    (folder / "d").mkdir()
    (folder / clips[4][1]).write_bytes(b"")  # three of the real files are empty, too


def test_magnatagatune_common_split_leaves_untagged_clips_out(tmp_path: Path) -> None:
    make_mtt(tmp_path)
    made = write_dataset_manifest("magnatagatune", tmp_path)
    clips = by_id(made)
    assert {name: entry.split for name, entry in clips.items()} == {
        "mtt-2": "train", "mtt-3": "train", "mtt-4": "valid"
    }  # fmt: skip
    assert clips["mtt-3"].tags == {"tag": ("guitar", "no voice")}
    assert clips["mtt-2"].group == clips["mtt-3"].group
    assert (clips["mtt-2"].artist, clips["mtt-2"].title) == ("Band", "Song")
    assert [skipped.path for skipped in made.skipped] == ["d/fourth-album-04-gone-0-29.mp3"]


def test_magnatagatune_marble_split_keeps_them(tmp_path: Path) -> None:
    make_mtt(tmp_path)
    clips = by_id(write_dataset_manifest("magnatagatune", tmp_path, {"split": "marble"}))
    assert clips["mtt-5"].split == "test"
    assert clips["mtt-5"].tags == {}


def test_magnatagatune_takes_the_fifty_most_frequent_tags(tmp_path: Path) -> None:
    names = [f"tag {n}" for n in range(60)]
    rows = [["clip_id", *names, "mp3_path"]]
    for clip in range(60):  # tag n is on the first n + 1 clips: the last fifty are the frequent
        marks = ["1" if clip <= n else "0" for n in range(60)]
        rows.append([str(clip), *marks, f"0/a-b-01-{clip}-0-29.wav"])
    table(tmp_path / "annotations_final.csv", rows, "\t")
    sound(tmp_path / "0" / "a-b-01-0-0-29.wav")
    clips = by_id(write_dataset_manifest("magnatagatune", tmp_path))
    assert set(clips["mtt-0"].tags["tag"]) == set(names[10:])


def test_mtg_jamendo_reads_a_split_of_a_subset(tmp_path: Path) -> None:
    header = ["TRACK_ID", "ARTIST_ID", "ALBUM_ID", "PATH", "DURATION", "TAGS"]
    rows = {
        "train": ["track_1", "artist_1", "album_1", "01/1.mp3", "212.7", "genre---rock",
                  "mood/theme---happy", "genre---Pop"],
        "validation": ["track_2", "artist_2", "album_2", "02/2.mp3", "99.0", "instrument---bass"],
        "test": ["track_3", "artist_3", "album_3", "03/3.mp3", "80.1", "genre---jazz"],
    }  # fmt: skip
    for part, row in rows.items():
        path = tmp_path / "data" / "splits" / "split-1" / f"autotagging_genre-{part}.tsv"
        table(path, [header, row], "\t")
    sound(tmp_path / "raw_30s" / "audio" / "01" / "1.mp3")
    sound(tmp_path / "audio-low" / "02" / "2.low.mp3")
    sound(tmp_path / "03" / "3.mp3")
    tracks = by_id(write_dataset_manifest("mtg-jamendo", tmp_path, {"subset": "genre", "split": 1}))
    assert [tracks[f"jamendo-track_{n}"].split for n in (1, 2, 3)] == ["train", "valid", "test"]
    assert tracks["jamendo-track_1"].tags == {"genre": ("rock", "pop"), "mood/theme": ("happy",)}
    assert tracks["jamendo-track_2"].group == "artist:artist_2"
    with pytest.raises(DatasetError, match="split-0"):
        write_dataset_manifest("mtg-jamendo", tmp_path)


def test_musiccaps_finds_files_under_the_usual_names(tmp_path: Path) -> None:
    columns = ["ytid", "start_s", "end_s", "audioset_positive_labels", "aspect_list", "caption",
               "author_id", "is_balanced_subset", "is_audioset_eval"]  # fmt: skip
    rows = [
        ["-0Gj8-vB1q4", "30", "40", "/m/0140xf", "['low quality', 'Sustained strings']",
         "The low quality recording features a ballad.", "4", "False", "True"],
        ["abc", "10", "20", "/m/1", "['rock']", "A rock song.", "0", "False", "False"],
        ["gone", "0", "10", "/m/1", "[]", "Not there any more.", "0", "False", "True"],
    ]  # fmt: skip
    table(tmp_path / "musiccaps-public.csv", [columns, *rows])
    sound(tmp_path / "audio" / "[-0Gj8-vB1q4]-[30-40].wav")
    sound(tmp_path / "audio" / "abc.wav")
    made = write_dataset_manifest("musiccaps", tmp_path)
    clips = by_id(made)
    first = clips["musiccaps--0Gj8-vB1q4-30"]
    assert (first.split, first.tags["aspect"]) == ("test", ("low quality", "sustained strings"))
    assert first.captions[0].text == "The low quality recording features a ballad."
    assert clips["musiccaps-abc-10"].split == "train"
    assert len(made.skipped) == 1


def test_song_describer_keeps_every_caption_of_a_track(tmp_path: Path) -> None:
    columns = ["caption_id", "track_id", "caption", "is_valid_subset", "familiarity", "artist_id",
               "album_id", "path", "duration"]  # fmt: skip
    rows = [
        ["1", "700", "A calm, slow piano.", "True", "0", "9", "8", "00/700.mp3", "200"],
        ["2", "700", "Sleepy music.", "False", "0", "9", "8", "00/700.mp3", "200"],
        ["3", "701", "Loud guitars.", "False", "0", "7", "6", "01/701.mp3", "200"],
    ]
    table(tmp_path / "song_describer.csv", [columns, *rows])
    sound(tmp_path / "audio" / "00" / "700.2min.mp3")
    sound(tmp_path / "audio" / "01" / "701.2min.mp3")
    tracks = by_id(write_dataset_manifest("song-describer", tmp_path))
    assert [c.text for c in tracks["sdd-700"].captions] == ["A calm, slow piano.", "Sleepy music."]
    assert {entry.split for entry in tracks.values()} == {"test"}
    checked = by_id(write_dataset_manifest("song-describer", tmp_path, {"valid_subset": True}))
    assert [c.text for c in checked["sdd-700"].captions] == ["A calm, slow piano."]
    assert set(checked) == {"sdd-700"}


def test_gtzan_uses_the_filtered_lists_and_not_the_broken_file(tmp_path: Path) -> None:
    lists = {
        "train": ["blues/blues.00029.wav", "jazz/jazz.00054.wav"],
        "valid": ["rock/rock.00001.wav"],
        "test": ["jazz/jazz.00002.wav"],
    }
    for part, lines in lists.items():
        (tmp_path / f"{part}_filtered.txt").write_text("\n".join(lines) + "\n", "utf-8")
        for line in lines:
            sound(tmp_path / "genres_original" / line)
    tracks = by_id(write_dataset_manifest("gtzan", tmp_path))
    assert {name: (e.split, e.tags["genre"]) for name, e in tracks.items()} == {
        "gtzan-blues.00029": ("train", ("blues",)),
        "gtzan-rock.00001": ("valid", ("rock",)),
        "gtzan-jazz.00002": ("test", ("jazz",)),
    }
    (tmp_path / "valid_filtered.txt").unlink()
    with pytest.raises(DatasetError, match=r"valid_filtered\.txt"):
        write_dataset_manifest("gtzan", tmp_path)


def test_emomusic_splits_by_artist(tmp_path: Path) -> None:
    marks = [["song_id", "mean_arousal", "std_arousal", "mean_valence", "std_valence"]]
    songs = [["song_id", "file_name", "Artist", "Song title",
              "start of the segment (min.sec)", "end of the segment (min.sec)", "Genre",
              "Mediaeval 2013 set"]]  # fmt: skip
    for number in range(2, 42):
        marks.append([str(number), "3.1", "1.0", "5.25", "1.0"])
        songs.append([str(number), f"{number}.mp3", f"Artist {number // 2}", f"Song {number}",
                      "0.4", "1.25", "Blues", "development"])  # fmt: skip
        sound(tmp_path / "clips_45seconds" / f"{number}.mp3", seconds=0.1)
    table(tmp_path / "annotations" / "static_annotations.csv", marks)
    table(tmp_path / "annotations" / "songs_info.csv", songs)
    tracks = by_id(write_dataset_manifest("emomusic", tmp_path))
    assert tracks["emomusic-2"].tags == {"arousal": ("3.1",), "valence": ("5.25",)}
    splits = defaultdict(set)
    for entry in tracks.values():
        splits[entry.artist].add(entry.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {entry.split for entry in tracks.values()} == {"train", "valid", "test"}


def test_giantsteps_trains_on_sure_single_keys_and_tests_on_the_other_set(tmp_path: Path) -> None:
    mtg, test = tmp_path / "giantsteps-mtg-key-dataset", tmp_path / "giantsteps-key-dataset"
    rows = [
        ["ID", "MANUAL KEY", "C"], ["10", "Db major", "2"], ["11", "A minor", "1"],
        ["12", "A minor / C major", "2"], ["13", "F# minor", "2"],
    ]  # fmt: skip
    table(mtg / "annotations" / "annotations.txt", rows, "\t")
    people = [
        ["ID", "ARTIST", "SONG TITLE", "MIX"],
        ["10", "One", "Song", ""],
        ["13", "Two", "", ""],
    ]
    table(mtg / "annotations" / "beatport_metadata.txt", people, "\t")
    for number in ("10", "11", "12", "13"):
        sound(mtg / "audio" / f"{number}.LOFI.mp3")
    (test / "annotations" / "key").mkdir(parents=True)
    (test / "annotations" / "key" / "20.LOFI.key").write_text("Eb minor\n", "utf-8")
    sound(test / "audio" / "20.LOFI.mp3")
    tracks = by_id(write_dataset_manifest("giantsteps", tmp_path))
    assert set(tracks) == {"gs-mtg-10", "gs-mtg-13", "gs-20"}
    assert tracks["gs-mtg-10"].tags["key"] == ("c# major",)
    assert (tracks["gs-20"].split, tracks["gs-20"].tags["key"]) == ("test", ("eb minor",))


@pytest.mark.parametrize(
    ("text", "key"),
    [("Db major", "c# major"), ("G# minor", "ab minor"), ("a:min", "a minor"), ("C", None),
     ("A minor / C major", None), ("H major", None)],
)  # fmt: skip
def test_keys_have_one_spelling(text: str, key: str | None) -> None:
    assert parse_key(text) == key


def test_nsynth_keeps_the_official_parts(tmp_path: Path) -> None:
    for split, name in (
        ("train", "bass_synthetic_033-022-050"),
        ("test", "flute_acoustic_002-077-100"),
    ):
        note = {
            "note_str": name, "pitch": int(name[-7:-4]), "velocity": int(name[-3:]),
            "instrument_family_str": name.split("_")[0],
            "instrument_source_str": name.split("_")[1], "instrument_str": name[:-8],
        }  # fmt: skip
        folder = tmp_path / f"nsynth-{split}"
        sound(folder / "audio" / f"{name}.wav")
        (folder / "examples.json").write_text(json.dumps({name: note}), "utf-8")
    notes = by_id(write_dataset_manifest("nsynth", tmp_path))
    flute = notes["nsynth-flute_acoustic_002-077-100"]
    assert (flute.split, flute.tags["instrument"], flute.tags["pitch"]) == (
        "test",
        ("flute",),
        ("77",),
    )


SINGERS = {"female2": "f2", "male10": "m10", "female1": "f1", "male4": "m4"}
KINDS = {"arpeggios": "belt", "scales": "lip_trill", "excerpts": "spoken", "long_tones": "messa"}


def make_vocalset(folder: Path) -> None:
    for singer, short in SINGERS.items():
        for kind, technique in KINDS.items():
            for vowel in "aeiou":
                name = f"{short}_{kind}_{technique}_{vowel}.wav"
                sound(folder / "FULL" / singer / kind / technique / name, seconds=0.05)


def test_vocalset_techniques_are_tested_on_unheard_singers(tmp_path: Path) -> None:
    make_vocalset(tmp_path)
    made = by_id(write_dataset_manifest("vocalset", tmp_path))
    assert {entry.artist for entry in made.values() if entry.split == "test"} == {"f2", "m10"}
    assert {value for entry in made.values() for value in entry.tags["technique"]} == {
        "belt", "lip_trill", "spoken"
    }  # fmt: skip
    assert {entry.split for entry in made.values() if entry.artist == "f1"} == {"train", "valid"}


def test_vocalset_singers_are_tested_on_unheard_recordings(tmp_path: Path) -> None:
    make_vocalset(tmp_path)
    made = by_id(write_dataset_manifest("vocalset", tmp_path, {"task": "singer"}))
    assert len(made) == 80
    for split in ("train", "valid", "test"):
        singers = {entry.tags["singer"] for entry in made.values() if entry.split == split}
        assert len(singers) == 4


def test_every_reader_says_what_is_missing_in_an_empty_folder(tmp_path: Path) -> None:
    for name in READERS:
        with pytest.raises(DatasetError):
            write_dataset_manifest(name, tmp_path)
    with pytest.raises(DatasetError, match="unknown data set"):
        write_dataset_manifest("imaginary", tmp_path)
    with pytest.raises(DatasetError, match="has no option 'splitt'"):
        write_dataset_manifest("magnatagatune", tmp_path, {"splitt": "marble"})


def test_a_table_without_its_columns_is_named(tmp_path: Path) -> None:
    table(tmp_path / "annotations_final.csv", [["clip_id", "guitar"], ["1", "0"]], "\t")
    with pytest.raises(DatasetError, match="has no column mp3_path"):
        write_dataset_manifest("magnatagatune", tmp_path)
