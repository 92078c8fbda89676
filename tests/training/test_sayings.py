import re

import numpy as np
import pytest

from models.training.evaluation.free_text import read_free_text
from models.training.sayings import (
    Lesson,
    SayingsError,
    read_sayings,
    taught_map,
    the_sayings,
)

_LITTLE = """
a an the of in on at to with and or by for from his her their my is are was over under all no it
that who this at some one two
"""


def test_a_line_is_a_term_and_its_texts() -> None:
    said = read_sayings(["# a comment", "", "organ | pipes in a church | the big one"])
    assert [(saying.term, saying.text) for saying in said] == [
        ("organ", "pipes in a church"),
        ("organ", "the big one"),
    ]


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["organ"], "line 1: a term and its texts"),
        (["organ | pipes | "], "line 1: a term and its texts"),
        (["organ | pipes", "organ | keys"], "line 2: 'organ' has a line already"),
        (["organ | pipes", "flute | Pipes"], "line 2: 'Pipes' was said before"),
    ],
)
def test_a_bad_line_is_named(lines: list[str], complaint: str) -> None:
    with pytest.raises(SayingsError, match=re.escape(complaint)):
        read_sayings(lines)


def test_no_saying_says_its_term() -> None:
    for saying in the_sayings():
        assert not re.search(rf"(?<!\w){re.escape(saying.term)}(?!\w)", saying.text, re.IGNORECASE)


def test_no_saying_repeats_an_evaluated_sentence() -> None:
    judged = {run for sentence in read_free_text() for run in _telling_runs(sentence.text)}
    assert len(judged) > 150
    repeated = [s.text for s in the_sayings() if _telling_runs(s.text) & judged]
    assert not repeated


def test_new_sayings_come_near_their_terms_and_what_is_settled_stays() -> None:
    lesson, unseen, meant = _lesson(np.random.default_rng(0))
    weight, bias = _map()
    moved = taught_map(weight, bias, lesson, keep=4.0)
    assert _found(weight, bias, unseen, meant, lesson.terms) < 0.5
    assert _found(moved, bias, unseen, meant, lesson.terms) > 0.8
    for group in lesson.general:
        before, after = (_unit(group @ by.T + bias) for by in (weight, moved))
        assert np.sum(before * after, axis=1).mean() > 0.9


def test_the_more_is_kept_the_less_moves() -> None:
    lesson, _, _ = _lesson(np.random.default_rng(0))
    weight, bias = _map()
    stay = []
    for keep in (0.1, 2.0, 50.0):
        moved = taught_map(weight, bias, lesson, keep=keep)
        group = lesson.general[0]
        before, after = (_unit(group @ by.T + bias) for by in (weight, moved))
        stay.append(np.sum(before * after, axis=1).mean())
    assert stay == sorted(stay)
    assert stay[-1] > 0.99


def test_the_same_lesson_gives_the_same_map() -> None:
    lesson, _, _ = _lesson(np.random.default_rng(0))
    weight, bias = _map()
    one, other = (taught_map(weight, bias, lesson, keep=2.0, steps=20) for _ in range(2))
    assert np.array_equal(one, other)


def _lesson(random: np.random.Generator) -> tuple[Lesson, np.ndarray, np.ndarray]:
    """Terms that live in twelve dimensions and sayings that live in the twelve others.

    What a term is said by is a linear map of it that the given weight knows nothing of, plus noise.
    """
    terms = np.zeros((6, 24))
    terms[:, :12] = random.normal(size=(6, 12))
    said_by = random.normal(size=(12, 12)) / 3.5
    meant = np.repeat(np.arange(6), 20)
    sayings = np.zeros((120, 24))
    sayings[:, 12:] = terms[meant, :12] @ said_by + 0.2 * random.normal(size=(120, 12))
    general = random.normal(size=(60, 24))
    general[:, 12:] *= 0.3
    seen = np.arange(120) % 4 != 0
    lesson = Lesson(sayings[seen], meant[seen], terms, (general[:30], general[30:]))
    return lesson, sayings[~seen], meant[~seen]


def _map() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(1)
    return 0.1 * random.normal(size=(8, 24)), 0.03 * random.normal(size=8)


def _found(
    weight: np.ndarray, bias: np.ndarray, said: np.ndarray, meant: np.ndarray, terms: np.ndarray
) -> float:
    cosines = _unit(said @ weight.T + bias) @ _unit(terms @ weight.T + bias).T
    return float((cosines.argmax(axis=1) == meant).mean())


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def _telling_runs(text: str) -> set[tuple[str, ...]]:
    """Runs of three words of which at least two say something, and all runs of four."""
    words, little = re.findall(r"[\w'-]+", text.lower()), set(_LITTLE.split())
    threes = {tuple(words[i : i + 3]) for i in range(len(words) - 2)}
    fours = {tuple(words[i : i + 4]) for i in range(len(words) - 3)}
    return {run for run in threes if sum(word not in little for word in run) >= 2} | fours
