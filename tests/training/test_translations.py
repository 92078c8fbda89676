import numpy as np
import pytest

from models.training.tag_words import list_translations
from models.training.translations import moved_map


def test_translations_are_of_the_same_tag_and_template() -> None:
    pairs = list_translations()
    assert ("guitar music", "Musik: Gitarre") in pairs
    assert ("music: rock", "音楽:ロック") in pairs
    assert len({translated for _, translated in pairs}) > 800


def test_translations_move_to_the_english_texts_and_general_ones_stay() -> None:
    random = np.random.default_rng(0)
    weight, bias = random.normal(size=(6, 24)), random.normal(size=6)
    english = random.normal(size=(5, 24))
    # What a language adds lies where no English text is.
    english[:, 16:] = 0.0
    language = np.zeros(24)
    language[16:] = random.normal(size=8) * 2
    translated = english + language
    general = random.normal(size=(200, 24))
    general[:, 16:] = 0.0
    moved = moved_map(weight, (english, translated), general, keep=2.0)
    before = _cosines(english @ weight.T + bias, translated @ weight.T + bias)
    after = _cosines(english @ moved.T + bias, translated @ moved.T + bias)
    assert (after - before).min() > 0.1
    assert after.mean() > 0.85
    kept = _cosines(general @ weight.T + bias, general @ moved.T + bias)
    assert kept.mean() > 0.9


def test_the_more_is_kept_the_less_moves() -> None:
    random = np.random.default_rng(1)
    weight = random.normal(size=(6, 24))
    pairs = (random.normal(size=(9, 24)), random.normal(size=(9, 24)))
    general = random.normal(size=(200, 24))
    changes = [
        np.linalg.norm(moved_map(weight, pairs, general, keep=keep) - weight)
        for keep in (0.1, 1.0, 10.0, 1000.0)
    ]
    assert changes == sorted(changes, reverse=True)
    assert changes[-1] < 0.02 * np.linalg.norm(weight)


def test_equal_texts_change_nothing() -> None:
    random = np.random.default_rng(2)
    weight, texts = random.normal(size=(4, 8)), random.normal(size=(5, 8))
    moved = moved_map(weight, (texts, texts), texts, keep=1.0)
    assert moved == pytest.approx(weight)


def _cosines(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.sum(a * b, axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
