"""Folding makes one of what people take for one, and keeps apart what they do not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.database.folding import FOLDED_CHARS, fold, folded_key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Björk", "BJORK"),
        ("Beyoncé", "beyonce"),
        ("Dvořák,  Antonín ", "dvorak, antonin"),
        ("Straße", "STRASSE"),
        ("Μίκης Θεοδωράκης", "ΜΙΚΗΣ ΘΕΟΔΩΡΑΚΗΣ"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("İstanbul", "istanbul"),
        ("e\u0301tude", "étude"),
    ],
)
def test_these_are_one(one: str, other: str) -> None:
    assert fold(one) == fold(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Чайковский", "Чаиковскии"),
        ("かき", "がき"),
        ("कि", "क"),
        ("Ø", "O"),
        ("AC/DC", "ACDC"),
        ("1", "2"),
    ],
)
def test_these_are_two(one: str, other: str) -> None:
    assert fold(one) != fold(other)


@given(st.text())
def test_folding_again_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=500))
def test_a_stored_key_fits_and_its_case_does_not_count(text: str) -> None:
    key = folded_key(text)
    assert key is not None
    assert len(key) <= FOLDED_CHARS
    assert key == folded_key(fold(text)) or len(fold(text)) > FOLDED_CHARS


def test_long_texts_with_one_beginning_stay_apart() -> None:
    beginning = "a" * FOLDED_CHARS
    keys = {folded_key(beginning + end) for end in ("", "b", "c", "B")}
    assert len(keys) == 3
    assert folded_key(None) is None
