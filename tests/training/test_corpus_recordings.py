"""Recordings on miniature packages: terms, what is left out, duplicates, splits, reserved names."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from models.checksum import file_sha256
from models.training.corpus import recordings
from models.training.corpus.audio import (
    AudioError,
    Samples,
    decode,
    decode_mono,
    encode_opus,
    probe,
)
from models.training.corpus.build import assemble, summarise, write_corpus
from models.training.corpus.copyright_file import find_terms, normalise_licence, parse_stanzas
from models.training.corpus.fetch import FetchError, fetch_package
from models.training.corpus.fingerprint import SAME_PIECE, fingerprint, similarity
from models.training.corpus.packages import PACKAGES, Declared, Package
from models.training.corpus.pieces import (
    LeftOut,
    Piece,
    TermsError,
    find_pieces,
    is_reserved_artist,
    licence_allows_training,
)
from models.training.corpus.rules import (
    EVALUATED_ARTISTS,
    RESERVED_ARTISTS,
    RESERVED_PACKAGES,
    TRAINING_LICENCES,
)
from models.training.evaluation.labelled import read_labelled
from models.training.evaluation.sources import EVALUATED_PACKAGES
from models.training.manifest import ManifestError, read_manifest

RATE_HZ = 24_000
SOURCES = Path(__file__).parents[2] / "models" / "training" / "corpus" / "sources.jsonl"
COPYRIGHT = """Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: game

Files: *
Copyright: 2003 The Team
           2005 Others
License: GPL-2+

Files: data/music/alone.ogg
Copyright: 2001 Purist
License: GPL-2

Files: music/*.opus
Copyright: 2010 Ann Composer
License: CC-by-SA 3.0

License: GPL-2+
 Some text.
"""


def tune(seed: int, seconds: float = 30.0) -> Samples:
    """A reproducible piece of random notes, float32 [1, T]."""
    draw = np.random.default_rng(seed)
    note_s = 0.5
    time = np.arange(int(RATE_HZ * note_s)) / RATE_HZ
    notes = [
        draw.uniform(0.1, 0.5) * np.sin(2 * np.pi * pitch * time) * np.exp(-3 * time)
        for pitch in draw.choice([110, 220, 330, 440, 660, 990, 1480], int(seconds / note_s))
    ]
    return np.concatenate(notes).astype(np.float32)[np.newaxis]


def make_package(folder: Path, name: str, music: dict[str, Samples], **tags: str) -> Path:
    root = folder / name
    doc = root / "usr" / "share" / "doc" / name
    doc.mkdir(parents=True)
    (doc / "copyright").write_text(COPYRIGHT, encoding="utf-8")
    place = root / "usr" / "share" / "games" / name / "music"
    place.mkdir(parents=True)
    for file, samples in music.items():
        encode_opus(place / file, samples, RATE_HZ, 48_000, tags)
    return root


def package(name: str, **fields: object) -> Package:
    base = Package(name, "1.0-1", "0" * 64, "train")
    return dataclasses.replace(base, **fields)  # type: ignore[arg-type]


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as pool:
        yield pool


def test_a_copyright_files_last_matching_paragraph_counts() -> None:
    stanzas = parse_stanzas(COPYRIGHT)
    found = [
        find_terms(stanzas, path)
        for path in (
            "usr/share/games/game/data/music/alone.ogg",
            "usr/share/games/game/music/tune.opus",
            "usr/share/games/game/intro.ogg",
        )
    ]
    assert [terms.licence for terms in found if terms] == ["GPL-2", "CC-BY-SA-3.0", "GPL-2+"]
    assert found[1] is not None
    assert found[1].attribution == "2010 Ann Composer"
    assert parse_stanzas("This package was debianized by somebody.\n\nLicense: GPL") == []


@pytest.mark.parametrize(
    ("written", "normal"),
    [
        ("CC-by-SA 3.0", "CC-BY-SA-3.0"),
        ("CC0", "CC0-1.0"),
        ("Expat", "MIT"),
        ("GPL-2.0+", "GPL-2+"),
        ("GPL-3+ or CC-BY-3.0", "GPL-3+ or CC-BY-3.0"),
    ],
)
def test_licences_are_spelt_one_way(written: str, normal: str) -> None:
    assert normalise_licence(written) == normal


def test_only_licences_compatible_with_the_weights_are_trained_on() -> None:
    assert licence_allows_training("GPL-2+")
    assert licence_allows_training("GPL-2 or CC-BY-SA-3.0")
    for licence in ("GPL-2", "GPL", "CC-BY-NC-3.0", "unknown", "Free-Art-License-1.2"):
        assert not licence_allows_training(licence), licence


def test_pieces_are_found_and_others_left_out_with_a_reason(tmp_path: Path) -> None:
    music = {
        "tune.opus": tune(1),
        "rain.opus": tune(2),
        "short.opus": tune(3, 5.0),
    }
    root = make_package(tmp_path, "game", music, title="A Tune", artist="Ann")
    with zipfile.ZipFile(root / "usr/share/games/game/data.pk3", "w") as archive:
        packed = root / "usr/share/games/game/music/tune.opus"
        archive.write(packed, "music/inside.opus")
        archive.write(packed, "data/music/alone.ogg")
    game = package("game", leave_out=(("*/rain.opus", "ambience"),))
    found = list(find_pieces(game, root))
    pieces = {
        item.found.inner_path.rsplit("/", 1)[1]: item for item in found if isinstance(item, Piece)
    }
    reasons = {
        item.inner_path.rsplit("/", 1)[1]: item.reason
        for item in found
        if isinstance(item, LeftOut)
    }
    assert set(pieces) == {"tune.opus", "inside.opus"}
    assert pieces["inside.opus"].terms.licence == "CC-BY-SA-3.0"
    assert (pieces["tune.opus"].title, pieces["tune.opus"].artist) == ("A Tune", "Ann")
    assert reasons["rain.opus"] == "ambience"
    assert "GPL-2" in reasons["alone.ogg"]


def test_what_a_person_read_must_stand_in_the_copyright_file(tmp_path: Path) -> None:
    root = make_package(tmp_path, "game", {"tune.opus": tune(1)})
    honest = package("game", terms=Declared("GPL-3+", "The Team", "2003 The Team 2005 Others"))
    (piece,) = find_pieces(honest, root)
    assert isinstance(piece, Piece)
    assert piece.terms.licence == "GPL-3+"
    with pytest.raises(TermsError):
        list(find_pieces(package("game", terms=Declared("MIT", "X", "no such words")), root))


def test_a_reserved_artists_piece_is_left_out_wherever_it_appears(tmp_path: Path) -> None:
    root = make_package(tmp_path, "game", {"tune.opus": tune(1)}, artist=RESERVED_ARTISTS[0])
    (item,) = find_pieces(package("game"), root)
    assert isinstance(item, LeftOut)
    assert "reserved" in item.reason


def test_an_evaluated_artists_piece_is_never_trained_on(tmp_path: Path) -> None:
    artist = sorted(EVALUATED_ARTISTS)[0].title()
    root = make_package(tmp_path, "game", {"tune.opus": tune(1)}, artist=f" {artist} ")
    (trained,) = find_pieces(package("game"), root)
    (held,) = find_pieces(package("game", split="test"), root)
    assert isinstance(trained, LeftOut)
    assert trained.reason == "artist is held out for the labelled evaluation"
    assert isinstance(held, Piece)


@pytest.mark.parametrize("name", sorted(RESERVED_PACKAGES))
def test_a_reserved_package_is_never_fetched(name: str, tmp_path: Path) -> None:
    assert name not in {listed.name for listed in PACKAGES}
    with pytest.raises(FetchError, match="reserved"):
        fetch_package(package(name), tmp_path / "archives", tmp_path / "packages")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_is_not_the_pinned_one_is_deleted(tmp_path: Path) -> None:
    archives = tmp_path / "archives"
    archives.mkdir()
    (archives / "game_1.0-1_all.deb").write_bytes(b"something else")
    with pytest.raises(FetchError, match="pinned"):
        fetch_package(package("game"), archives, tmp_path / "packages")
    assert list(archives.iterdir()) == []


def test_the_same_piece_is_recognised_through_codec_gain_and_offset(tmp_path: Path) -> None:
    original = tune(1, 40.0)
    path = tmp_path / "copy.opus"
    encode_opus(path, 0.4 * original[:, RATE_HZ:], RATE_HZ, 24_000, {})
    one = fingerprint(_at_8_khz(original, tmp_path))
    assert similarity(one, fingerprint(decode_mono(path, 8_000))) > SAME_PIECE
    assert similarity(one, fingerprint(_at_8_khz(tune(2, 40.0), tmp_path))) < SAME_PIECE - 0.2


def _at_8_khz(samples: Samples, folder: Path) -> Samples:
    encode_opus(folder / "x.opus", samples, RATE_HZ, 96_000, {})
    return decode_mono(folder / "x.opus", 8_000)


def _pieces(folder: Path, listed: Package, music: dict[str, Samples], **tags: str) -> list[Piece]:
    root = make_package(folder, listed.name, music, **tags)
    return [item for item in find_pieces(listed, root) if isinstance(item, Piece)]


def test_of_two_copies_the_held_out_one_stays(tmp_path: Path, executor: ThreadPoolExecutor) -> None:
    train = _pieces(tmp_path, package("game"), {"a.opus": tune(1), "b.opus": tune(2)})
    held = _pieces(tmp_path, package("held", split="test"), {"c.opus": 0.5 * tune(1)})
    kept = recordings.place_pieces([*train, *held], tmp_path / "out")
    unique, twins = recordings.drop_duplicates(kept, executor)
    assert {item.path.stem for item in unique} == {"music-b", "music-c"}
    assert [twin.reason for twin in twins] == ["sounds like held/music-c.opus"]
    assert (tmp_path / "out/eval/audio/held/music-c.opus").exists()
    assert (tmp_path / "out/audio/game/music-b.opus").exists()


def test_an_artist_of_a_held_out_piece_is_not_trained_on(tmp_path: Path) -> None:
    train = _pieces(tmp_path, package("game"), {"a.opus": tune(1)}, artist="Ann Composer")
    held = _pieces(
        tmp_path, package("held", split="test"), {"c.opus": tune(2)}, artist="ann  composer"
    )
    kept = recordings.place_pieces([*train, *held], tmp_path / "out")
    stay, left_out = recordings.drop_straddling_artists(kept)
    assert [item.piece.package.name for item in stay] == ["held"]
    assert left_out[0].reason == "artist is held out in test"


def test_manifests_part_training_from_held_out(tmp_path: Path) -> None:
    out = tmp_path / "out"
    train = _pieces(
        tmp_path, package("game", genres=(("*/a.opus", "folk"),)), {"a.opus": tune(1)}, title="A"
    )
    held = _pieces(
        tmp_path, package("wizznic-data", split="test"), {"c.opus": tune(2)}, genre="House"
    )
    kept = recordings.place_pieces([*train, *held], out)
    entries = [recordings.to_entry(item, out) for item in kept]
    corpus = assemble(entries, [], [], [])
    write_corpus(out, corpus)
    (trained,) = read_manifest(out / "manifest.jsonl")
    (heldout,) = read_manifest(out / "eval" / "e1.jsonl")
    assert trained.tags["genre"] == ("folk",)
    assert heldout.tags["genre"] == ("house", "electronic")
    assert heldout.tags["label_source"] == ("embedded genre tag",)
    for folder, entry in ((out, trained), (out / "eval", heldout)):
        assert file_sha256(folder / entry.path) == entry.sha256
    assert summarise(corpus)["split"]["train"]["files"] == 1
    straddling = [dataclasses.replace(entry, group="one") for entry in entries]
    with pytest.raises(ManifestError):
        assemble(straddling, [], [], [])
    trained_on = next(entry for entry in entries if entry.split == "train")
    labelled = dataclasses.replace(trained_on, id=read_labelled()[0].id)
    judged = EVALUATED_PACKAGES[0]
    fetched_twice = dataclasses.replace(trained_on, source=f"{judged.name} {judged.version}")
    for leak in (labelled, fetched_twice):
        with pytest.raises(ManifestError, match="held out for the labelled evaluation"):
            assemble([leak], [], [], [])


def test_no_package_is_trained_on_that_only_judges() -> None:
    judging = {judged.name for judged in EVALUATED_PACKAGES}
    assert judging.isdisjoint(listed.name for listed in PACKAGES if listed.split != "test")


def test_opus_is_the_same_bytes_every_time_and_decodes_to_what_was_written(tmp_path: Path) -> None:
    stereo = np.concatenate([tune(1, 3.0), tune(2, 3.0)])
    for name in ("one.opus", "two.opus"):
        encode_opus(tmp_path / name, stereo, 48_000, 96_000, {"title": "Lied", "artist": "Ann"})
    assert (tmp_path / "one.opus").read_bytes() == (tmp_path / "two.opus").read_bytes()
    assert probe(tmp_path / "one.opus").tags["title"] == "Lied"
    decoded = decode(tmp_path / "one.opus", 48_000)
    assert decoded.shape == stereo.shape
    assert np.corrcoef(decoded[0], stereo[0])[0, 1] > 0.99
    with pytest.raises(AudioError):
        probe(b"no audio at all")


def test_the_recorded_sources_hold_the_promises_of_the_corpus() -> None:
    sources = [json.loads(line) for line in SOURCES.read_text(encoding="utf-8").splitlines()]
    split_of_package = {f"{listed.name} {listed.version}": listed.split for listed in PACKAGES}
    trained = [source for source in sources if source["split"] != "test"]
    held = [source for source in sources if source["split"] == "test"]
    assert len(trained) >= 400
    assert len(held) >= 80
    for source in sources:
        assert source["source"].split(" ")[0] not in RESERVED_PACKAGES
        assert not is_reserved_artist(source["artist"], source["title"])
    for source in trained:
        assert split_of_package[source["source"]] == source["split"]
        assert set(source["licence"].split(" or ")) & TRAINING_LICENCES
    assert not {s["sha256"] for s in trained} & {s["sha256"] for s in held}
    artists = {(s["artist"] or "").lower() for s in held} - {""}
    assert not artists & {(s["artist"] or "").lower() for s in trained}
