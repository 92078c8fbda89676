"""Words compare alike whatever their case, accents or script, and hold nothing else."""

import random
import sys
import unicodedata

import pytest

from service.keywords.document import document_of, whole
from service.keywords.words import MAX_FIELD_WORDS, MAX_WORD_CHARS, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("L. Été, No. 5", ["l", "ete", "no", "5"]),
        ("DVOŘÁK – Rusalka", ["dvorak", "rusalka"]),
        ("Sigur Rós: Ágætis byrjun", ["sigur", "ros", "agaetis", "byrjun"]),
        ("Mötley Crüe", ["motley", "crue"]),
        ("Straße Łódź Søren", ["strasse", "lodz", "soren"]),
        ("Don't Stop, Rock'n'Roll", ["dont", "stop", "rocknroll"]),
        ("Ｆｕｌｌ ｗｉｄｔｈ ①", ["full", "width", "1"]),
        ("Μίκης Θεοδωράκης", ["μικησ", "θεοδωρακησ"]),
        ("夜曲", ["夜曲", "曲"]),
        ("AC/DC_live-1980", ["ac", "dc", "live", "1980"]),
        ("\x00 \"' *:^(){}[]+-!&|<>\\ 🎵", []),
        ("", []),
        (None, []),
    ],
)
def test_words(text: str | None, words: list[str]) -> None:
    assert words_of(text) == words


def test_words_are_the_same_composed_and_decomposed() -> None:
    for text in ("Été à la Française", "Ångström", "が ぎ", "कि की"):
        forms = {tuple(words_of(unicodedata.normalize(form, text))) for form in ("NFC", "NFD")}
        assert len(forms) == 1, text


def test_words_hold_only_letters_digits_and_marks() -> None:
    rng = random.Random(1)
    for _ in range(300):
        text = "".join(chr(rng.randrange(sys.maxunicode)) for _ in range(40))
        for word in words_of(text):
            assert word
            assert len(word) <= MAX_WORD_CHARS
            assert {unicodedata.category(character)[0] for character in word} <= set("LNM")
            assert word == word.lower() or not word.isascii()


def test_long_texts_are_cut() -> None:
    assert len(words_of("word " * 5_000)) <= MAX_FIELD_WORDS
    (long,) = words_of("x" * 5_000)
    assert len(long) == MAX_WORD_CHARS


def test_a_document_keeps_fields_apart_and_runs_names_together() -> None:
    document = document_of(
        {"title": "Clair de Lune", "artist": "Débussy", "filename": "01 - clair.flac"},
        labels={"calm", "solo piano"},
    )
    assert document.fields["title"] == ("clair", "de", "lune")
    assert document.fields["filename"] == ("01", "clair")
    assert document.fields["tags"] == ("calm", "solo", "piano")
    assert document.fields["album"] == ()
    assert document.wholes == ("tclairdelune", "adebussy")
    assert whole("title", ["clair", "de", "lune"]) == "tclairdelune"
