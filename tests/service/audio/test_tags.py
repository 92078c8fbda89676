"""Hostile metadata in, short clean text out."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.audio.results import AudioTags
from service.audio.tags import MAX_TAG_CHARS, clean_text, parse_year, read_tags


def test_fields_are_found_whatever_the_case_of_their_keys() -> None:
    raw = {
        "TITLE": "So What",
        "Artist": "Miles Davis",
        "ALBUMARTIST": "M. D.",
        "album": "Kind of Blue",
        "DATE": "1959-08-17",
        "GENRE": "Jazz",
        "comment": "ignored",
    }
    assert read_tags(raw) == AudioTags(
        "So What", "Miles Davis", "Kind of Blue", "M. D.", "Jazz", 1959
    )


def test_no_tags_are_no_values() -> None:
    assert read_tags({"title": " \x00 ", "date": "n/a"}) == AudioTags()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("a\x00b", "a b"),
        ("  two \r\n lines\t", "two lines"),
        ("safe\u202egnp.exe", "safegnp.exe"),
        ("e\u0301", "\u00e9"),
        ("\ud800x", "x"),
        ("x" * 10_000, "x" * MAX_TAG_CHARS),
        ("", None),
    ],
)
def test_text_is_cleaned(value: str, expected: str | None) -> None:
    assert clean_text(value) == expected


@settings(deadline=None)
@given(st.text(st.characters(codec=None)))
def test_clean_text_is_always_short_encodable_and_stable(value: str) -> None:
    text = clean_text(value)
    if text is None:
        return
    assert 0 < len(text) <= MAX_TAG_CHARS
    text.encode("utf-8")
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in text)
    assert clean_text(text) == text


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1959", 1959),
        ("17.08.1959", 1959),
        ("1959-08-17T00:00:00", 1959),
        ("19590817", None),
        ("0000", None),
        ("3021", None),
        ("'99", None),
    ],
)
def test_years_are_parsed(value: str, expected: int | None) -> None:
    assert parse_year(value) == expected
