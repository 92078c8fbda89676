"""The committed evaluation data, and what fetches the recordings that it names."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections import defaultdict
from pathlib import Path

import pytest

from models.training.corpus.packages import FMA_WHEEL_NAME, PACKAGES
from models.training.corpus.pieces import is_reserved_artist
from models.training.corpus.rules import EVALUATED_ARTISTS, RESERVED_PACKAGES
from models.training.evaluation.free_text import FreeTextError, read_free_text, right_tracks
from models.training.evaluation.labelled import (
    Labelled,
    LabelledError,
    _read_file,
    choose_half,
    read_labelled,
)
from models.training.evaluation.languages import LANGUAGES, read_words
from models.training.evaluation.neighbours import read_queries
from models.training.evaluation.qt_resources import QtResourceError, list_members, read_member
from models.training.evaluation.sources import EVALUATED_PACKAGES, package_named
from models.training.manifest import ManifestEntry


def test_labelled_recordings_keep_the_promises_of_the_split() -> None:
    listed = read_labelled()
    assert len({item.id for item in listed}) == len(listed) >= 100
    parts = defaultdict(set)
    for item in listed:
        assert item.part in ("dev", "test")
        assert item.label_source
        assert item.evidence
        assert item.licence
        assert item.package not in RESERVED_PACKAGES
        assert not is_reserved_artist(item.artist, item.title, item.file)
        parts[item.package].add(item.part)
    assert all(len(found) == 1 for found in parts.values()), "a package lies in both parts"


def test_what_is_evaluated_is_never_trained_on() -> None:
    trained = {package.name for package in PACKAGES if package.split != "test"}
    for item in read_labelled():
        if item.package in trained:
            known = package_named(item.package).terms
            # Of a package that is trained on, only artists who are held out, or files whose
            # licence keeps them out of training.
            held_out = (item.artist or "").strip().lower() in EVALUATED_ARTISTS
            assert held_out or (known is not None and known.licence == "GPL-2"), item.id
            assert not held_out or item.trained_on_by


def test_every_labelled_recording_has_a_pinned_source() -> None:
    names = [package.name for package in (*PACKAGES, *EVALUATED_PACKAGES)]
    assert len(names) == len(set(names))
    assert not {package.name for package in EVALUATED_PACKAGES} & RESERVED_PACKAGES
    for item in read_labelled():
        if item.package != FMA_WHEEL_NAME:
            assert len(package_named(item.package).sha256) == 64


def test_free_text_names_tracks_that_exist_and_avoids_their_labels() -> None:
    labels = {item.id: item.tags for item in read_labelled()}
    sentences = read_free_text()
    assert len({sentence.text for sentence in sentences}) == len(sentences) == 60
    for sentence in sentences:
        assert bool(sentence.right) != bool(sentence.rule)
        assert set(sentence.right) <= set(labels), sentence.text
        genres = [genre for track in sentence.right for genre in labels[track].get("genre", ())]
        genres += (sentence.rule or {}).get("genre", ())
        # Sentences name no genre of what they ask for; instruments they may.
        assert not [genre for genre in genres if genre in sentence.text.lower()], sentence.text


def test_a_missing_right_track_is_an_error() -> None:
    sentence = read_free_text()[0]
    with pytest.raises(FreeTextError, match="a right track is missing"):
        right_tracks([sentence], [entry("somebody-else")])


def test_every_documented_genre_has_its_words_in_every_language() -> None:
    words = read_words()
    assert tuple(words) == LANGUAGES
    genres = {genre for item in read_labelled() for genre in item.tags.get("genre", ())}
    for language in LANGUAGES:
        assert genres <= set(words[language]), language
        assert all(text.strip() for text in words[language].values())
    assert len(read_queries()) == 10


def test_half_of_the_generated_music_is_chosen_with_every_mood() -> None:
    names = [f"a/{mood}_{kind}_{i}.opus" for mood in ("calm", "happy")
             for kind in ("acoustic", "electronic") for i in range(3)]  # fmt: skip
    chosen = choose_half(names)
    assert len(chosen) == 6
    assert {Path(name).stem.rsplit("_", 1)[0] for name in chosen} == {
        Path(name).stem.rsplit("_", 1)[0] for name in names
    }
    assert choose_half(list(reversed(names))) == chosen


def test_members_of_a_qt_resource_file_are_read(tmp_path: Path) -> None:
    path = tmp_path / "made.rcc"
    path.write_bytes(make_rcc({"music/plain.ogg": b"sound", "music/packed.txt": b"words" * 50}))
    content = path.read_bytes()
    assert list_members(content) == ["music/plain.ogg", "music/packed.txt"]
    assert read_member(content, "music/plain.ogg") == b"sound"
    assert read_member(content, "music/packed.txt") == b"words" * 50
    with pytest.raises(QtResourceError, match="no member"):
        read_member(content, "music/other")
    with pytest.raises(QtResourceError, match="not a Qt resource"):
        list_members(b"RIFF" + bytes(40))


def test_a_recording_is_found_in_a_folder_a_zip_and_a_resource_file(tmp_path: Path) -> None:
    (tmp_path / "usr").mkdir()
    (tmp_path / "usr/plain.ogg").write_bytes(b"one")
    with zipfile.ZipFile(tmp_path / "usr/game.love", "w") as archive:
        archive.writestr("data/two.ogg", b"two")
    (tmp_path / "usr/all.rcc").write_bytes(make_rcc({"music/three.ogg": b"three"}))
    files = ("usr/plain.ogg", "usr/game.love/data/two.ogg", "usr/all.rcc/music/three.ogg")
    found = [_read_file(tmp_path, labelled(file)) for file in files]
    assert found == [b"one", b"two", b"three"]
    with pytest.raises(LabelledError, match=r"no\.ogg is not in game"):
        _read_file(tmp_path, labelled("usr/no.ogg"))


def test_the_report_of_data_is_plain_json_lines() -> None:
    folder = Path(__file__).parents[2] / "models/training/evaluation/data"
    for path in folder.glob("*.jsonl"):
        for line in path.read_text("utf-8").splitlines():
            assert isinstance(json.loads(line), dict)


def labelled(file: str) -> Labelled:
    return Labelled("x", "game", file, "dev", {}, "title", "a title", "MIT")


def entry(name: str) -> ManifestEntry:
    return ManifestEntry(
        id=name, path=f"{name}.ogg", duration_s=9.0, split="test", group=name, source="made",
        sha256="0" * 64, title=None, artist=None, licence="MIT", attribution="",
    )  # fmt: skip


def make_rcc(members: dict[str, bytes]) -> bytes:
    """Write one folder of members as Qt does in version 2; long ones are compressed."""
    (folder,) = {path.split("/")[0] for path in members}
    names, offsets = b"", {}
    for name in (folder, *(path.split("/")[1] for path in members)):
        offsets[name] = len(names)
        names += struct.pack(">HI", len(name), 0) + name.encode("utf-16-be")
    data, nodes = b"", []
    for path, content in members.items():
        packed = len(content) > 100
        stored = struct.pack(">I", len(content)) + zlib.compress(content) if packed else content
        name = offsets[path.split("/")[1]]
        nodes.append(struct.pack(">IHHHIQ", name, int(packed), 0, 1, len(data), 0))
        data += struct.pack(">I", len(stored)) + stored
    root = struct.pack(">IHIIQ", 0, 2, 1, 1, 0)
    top = struct.pack(">IHIIQ", offsets[folder], 2, len(members), 2, 0)
    tree = root + top + b"".join(nodes)
    head = 20
    return (
        struct.pack(">4sIIII", b"qres", 2, head, head + len(tree), head + len(tree) + len(data))
        + tree + data + names
    )  # fmt: skip
