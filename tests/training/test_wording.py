"""Other wordings of one sentence: what is changed, and what is counted."""

from __future__ import annotations

import numpy as np
import pytest

import models
from models.training.evaluation.wording import (
    CHANGES,
    FIRST,
    list_training_texts,
    measure_apart,
    measure_wording,
    reorder,
    unheard_labels,
    words_of,
)
from models.training.manifest import Caption, ManifestEntry
from models.training.misspelling import mistype, mistype_one

SENTENCES = ["A lone cello in a church", "distorted guitars and drums", "calm solo piano"]


def test_a_typing_error_changes_one_word_a_little() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        made = mistype("church", rng)
        assert made[0] == "c"
        assert made[-1] == "h" or len(made) < 7
        assert abs(len(made) - len("church")) <= 1
    words = mistype_one("a lone cello in a church", rng).split(" ")
    assert len(words) == 6
    assert [words[i] for i in (0, 1, 3, 4)] == ["a", "lone", "in", "a"]
    assert mistype_one("a to b", rng) == "a to b"


def test_reordering_keeps_the_words() -> None:
    made = {reorder(SENTENCES[0], np.random.default_rng(seed)) for seed in range(5)}
    assert len(made) > 1
    assert {tuple(sorted(text.split())) for text in made} == {tuple(sorted(SENTENCES[0].split()))}


def test_the_bundled_model_hears_capitals_as_small_letters() -> None:
    encoder = models.load_bundle(device="cpu", runtime="onnx", threads=1)
    kept = {each.change: each for each in measure_wording(encoder, SENTENCES)}
    assert set(kept) == set(CHANGES)
    for letters in ("CAPITALS", "small letters"):
        assert kept[letters].cosine.value == pytest.approx(1.0, abs=1e-5)
        assert kept[letters].first_clips.value == 1.0
    assert 0 < kept["a typing error in each long word"].first_clips.value < 1.0
    apart, highest = measure_apart(encoder, SENTENCES)
    assert apart.cosine.value < kept["a typing error in one long word"].cosine.value
    assert apart.first_clips.chance == FIRST / len(encoder.reference)
    assert -1 < highest < 1


def test_labels_are_unheard_by_their_words() -> None:
    entry = ManifestEntry(
        id="a", path="a.wav", duration_s=10.0, split="train", group="a", source="a 1",
        sha256="0" * 64, title=None, artist=None, licence="CC0-1.0", attribution="",
        captions=(Caption("a Zydeco dance", "fact", 1.0),), tags={"genre": ("cumbia",)},
    )  # fmt: skip
    heard = words_of(list_training_texts([entry]))
    assert {"zydeco", "cumbia", "guitar", "choral"} <= heard
    labels = [{"label": name, "roc_auc": 0.5} for name in ("zydeco", "gamelan", "gamelan dance")]
    report = {"tags": [{"set": "s", "kind": "genre", "labels": labels}]}
    assert unheard_labels(report, heard) == [("s", "gamelan", 0.5), ("s", "gamelan dance", 0.5)]
