"""The glossary: its file, how texts are read by it, and what is asked with its phrases."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from models.training.evaluation.labelled import DATA
from models.training.misspelling import mistype_all, mistype_one
from models.training.queries import mixed_queries, vocabulary
from models.training.teacher.glossary import (
    SECTIONS,
    GlossaryError,
    read_glossary,
    the_glossary,
)
from models.training.teacher.reading import TagReader
from models.training.teacher.vocabulary import TEACHER_TAGS

TAGS = ("guitar", "rock", "slow", "rock")
TEXT = """
# a comment
[groups]
@calm | slow, guitar
[mood]
lazy, sleepy | @calm, rock -2
[genre]
rock music | rock
"""


def test_a_line_gives_its_phrases_one_weighting() -> None:
    found = read_glossary(TEXT, TAGS)
    assert found.phrases == ("lazy", "sleepy", "rock music")
    assert found.sections == ("mood", "mood", "genre")
    assert found.of("mood") == ["lazy", "sleepy"]
    # A tag that two vocabularies have shares its weight; absolute values sum to 1.
    np.testing.assert_allclose(found.weights[0], [0.25, -0.25, 0.25, -0.25])
    np.testing.assert_allclose(found.weights[2], [0, 0.5, 0, 0.5])


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("[mood]\nlazy | trumpet", "line 2: the teacher has no tag 'trumpet'"),
        ("[mood]\nlazy, lazy | slow", "line 2: 'lazy' was said before"),
        ("[mood]\nlazy | slow, ", "line 2: a tag is missing"),
        ("[mood]\nlazy | slow, slow -1", "line 2: the weights cancel out"),
        ("[mood]\nlazy slow", "line 2: phrases"),
        ("lazy | slow", "line 1: phrases"),
        ("[food]", "line 1: there is no section 'food'"),
    ],
)
def test_a_wrong_line_is_named(line: str, reason: str) -> None:
    with pytest.raises(GlossaryError, match=reason):
        read_glossary(line, TAGS)


def test_the_repository_s_glossary() -> None:
    glossary = the_glossary()
    assert glossary.weights.shape == (len(glossary.phrases), len(TEACHER_TAGS))
    np.testing.assert_allclose(np.abs(glossary.weights).sum(axis=1), 1.0, rtol=1e-5)
    assert {section: bool(glossary.of(section)) for section in SECTIONS} == dict.fromkeys(
        SECTIONS, True
    )
    # It was not written from what judges: of the evaluation's sentences it has common words alone.
    sentences = [json.loads(line)["text"].lower() for line in _free_text()]
    shared = [p for p in glossary.phrases if len(p.split()) > 1 and any(p in s for s in sentences)]
    assert all(len(phrase.split()) == 2 for phrase in shared), shared
    assert len(shared) < 8


def _free_text() -> list[str]:
    return (DATA / "free_text.jsonl").read_text("utf-8").splitlines()


def _embed(texts: Sequence[str]) -> NDArray[np.float32]:
    """Letters counted: enough of a likeness for a test."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    return np.array([[1e-3 + text.lower().count(c) for c in letters] for text in texts], np.float32)


def test_named_phrases_are_read_as_whole_words_the_longest_first() -> None:
    glossary = the_glossary()
    reader = TagReader(_embed)

    def named(text: str) -> list[str]:
        return [glossary.phrases[place] for place in reader.phrases_in(text)]

    assert named("Sad piano, no drums") == ["sad", "piano", "no drums"]
    assert named("breakfast of drummers") == []
    weights = reader.read(["sad piano", "sad", "piano"])
    np.testing.assert_allclose(weights[0], weights[1:].mean(axis=0), rtol=1e-6)


def test_other_texts_are_read_by_their_likeness() -> None:
    reader = TagReader(_embed)
    weights = reader.read(["violni", "qzx qzx"])
    assert TEACHER_TAGS[int(weights[0].argmax())] == "violin"
    # Likeness shares itself out; it never weighs more than the anchors do.
    assert np.abs(weights).sum(axis=1).max() <= 1.0 + 1e-5


def test_queries_are_made_of_the_glossary_in_every_call_alike() -> None:
    words = vocabulary()
    assert len(words) == len(set(words))
    assert {"death metal", "music with cello", "sad music"} <= set(words)
    mixed = mixed_queries(200)
    assert mixed == mixed_queries(200)
    assert not any("{" in text for text in mixed)
    reader = TagReader(_embed)
    assert all(len(reader.phrases_in(text)) >= 2 for text in mixed if " " in text)


def test_a_typing_error_changes_one_long_word_or_each() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        one = mistype_one("fast distorted guitars", rng).split(" ")
        changed = [a != b for a, b in zip(one, ["fast", "distorted", "guitars"], strict=True)]
        assert changed[0] is False
        assert sum(changed) <= 1
    assert mistype_one("sad duo", rng) == "sad duo"
    assert mistype_all("fast sad duo", rng) == "fast sad duo"
