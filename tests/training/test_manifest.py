"""The manifest's promises: what is written is read back, and broken rules are named."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from models.training.manifest import (
    Caption,
    ManifestEntry,
    ManifestError,
    read_manifest,
    write_manifest,
)

ENTRY = ManifestEntry(
    id="a",
    path="audio/pack/a.ogg",
    duration_s=31.5,
    split="train",
    group="artist one",
    source="pack 1.0",
    sha256="0" * 64,
    title="Länger",
    artist=None,
    licence="CC-BY-SA-3.0",
    attribution="Somebody",
    captions=(Caption("slow piano music", "fact", 2.0), Caption("Länger", "title", 0.5)),
    tags={"genre": ("ambient",), "tempo": ("slow", "70 bpm")},
)


def test_written_entries_are_read_back_equal(tmp_path: Path) -> None:
    other = dataclasses.replace(ENTRY, id="b", split="test", group="artist two", captions=())
    write_manifest(tmp_path / "new" / "manifest.jsonl", [ENTRY, other])
    assert read_manifest(tmp_path / "new" / "manifest.jsonl") == [ENTRY, other]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["manifest.jsonl"]


def test_a_group_in_two_splits_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    straddling = dataclasses.replace(ENTRY, id="b", split="valid")
    with pytest.raises(ManifestError, match="artist one"):
        write_manifest(tmp_path / "manifest.jsonl", [ENTRY, straddling])
    assert list(tmp_path.iterdir()) == []


def test_an_id_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="twice"):
        write_manifest(tmp_path / "manifest.jsonl", [ENTRY, ENTRY])


@pytest.mark.parametrize(
    "change",
    [
        {"path": "/abs.ogg"},
        {"path": "../up.ogg"},
        {"duration_s": 0.0},
        {"duration_s": float("nan")},
        {"sha256": "xyz"},
        {"split": "dev"},
        {"licence": " "},
    ],
)
def test_bad_values_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(ManifestError):
        dataclasses.replace(ENTRY, **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("text", "weight"), [("", 1.0), ("fine", 0.0), ("fine", float("inf"))])
def test_bad_captions_are_refused(text: str, weight: float) -> None:
    with pytest.raises(ManifestError):
        Caption(text, "fact", weight)


def test_a_wrong_line_is_named(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    write_manifest(path, [ENTRY])
    record = json.loads(path.read_text(encoding="utf-8"))
    record["surprise"] = 1
    path.write_text(path.read_text(encoding="utf-8") + json.dumps(record) + "\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="line 2"):
        read_manifest(path)
