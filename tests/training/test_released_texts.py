"""A build of the corpus gives the texts that the shipped bundle was trained on."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

from models.training.corpus.released import RELEASED_TEXTS, with_released_texts
from models.training.manifest import Caption
from tests.training.tiny_corpus import make_entry, sound, write_wav

SOURCES = RELEASED_TEXTS.with_name("sources.jsonl")


def test_texts_come_back_for_the_same_file_only(tmp_path: Path) -> None:
    write_wav(tmp_path / "a.wav", sound("low", 1.0, 1))
    entry = make_entry(tmp_path / "a.wav", "low", "train")
    captions = [{"text": "music for: battle", "kind": "title", "weight": 0.4}]
    record = {"id": "a", "sha256": entry.sha256, "captions": captions, "attribution": "Ann"}
    released = tmp_path / "released.jsonl"
    released.write_text(json.dumps(record) + "\n")
    changed = dataclasses.replace(entry, sha256="0" * 64)
    other = dataclasses.replace(entry, id="b")
    restored, *untouched = with_released_texts([entry, changed, other], released)
    assert restored.captions == (Caption("music for: battle", "title", 0.4),)
    assert restored.attribution == "Ann"
    assert dataclasses.replace(
        restored, captions=entry.captions, attribution=entry.attribution
    ) == entry  # fmt: skip
    assert untouched == [changed, other]


def test_every_released_text_is_of_a_recording_that_is_listed() -> None:
    listed = {
        (record["id"], record["sha256"])
        for record in map(json.loads, SOURCES.read_text("utf-8").splitlines())
        if record["split"] != "test"
    }
    records = list(map(json.loads, RELEASED_TEXTS.read_text("utf-8").splitlines()))
    assert len(records) == 81
    assert {(record["id"], record["sha256"]) for record in records} <= listed
    assert sum("captions" in record for record in records) == 75
    assert sum("attribution" in record for record in records) == 6
