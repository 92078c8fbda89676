"""Which scripts a text uses, and whether the model was measured in a language written in them."""

from __future__ import annotations

import unicodedata
from collections.abc import Collection, Iterable

# The first word of a letter's Unicode name -> the script's name for people, and the languages
# (ISO 639-1) that we take to be written in it. None: so many that any might be meant.
_SCRIPTS: dict[str, tuple[str, frozenset[str] | None]] = {
    "LATIN": ("Latin", None),
    "CJK": ("Chinese", frozenset({"zh", "ja"})),
    "HIRAGANA": ("Japanese", frozenset({"ja"})),
    "KATAKANA": ("Japanese", frozenset({"ja"})),
    "HANGUL": ("Korean", frozenset({"ko"})),
    "CYRILLIC": ("Cyrillic", frozenset({"ru", "uk", "bg", "sr", "be", "mk", "kk", "mn"})),
    "GREEK": ("Greek", frozenset({"el"})),
    "HEBREW": ("Hebrew", frozenset({"he", "yi"})),
    "ARABIC": ("Arabic", frozenset({"ar", "fa", "ur", "ps"})),
    "DEVANAGARI": ("Devanagari", frozenset({"hi", "mr", "ne", "sa"})),
    "BENGALI": ("Bengali", frozenset({"bn", "as"})),
    "TAMIL": ("Tamil", frozenset({"ta"})),
    "TELUGU": ("Telugu", frozenset({"te"})),
    "THAI": ("Thai", frozenset({"th"})),
    "GEORGIAN": ("Georgian", frozenset({"ka"})),
    "ARMENIAN": ("Armenian", frozenset({"hy"})),
}
_NOT_LATIN = frozenset({"zh", "ja", "ko", "ru", "uk", "bg", "el", "he", "ar", "fa", "hi", "th"})


def scripts_of(text: str) -> set[str]:
    """The scripts of the text's letters, as the keys of our table; unknown ones by their name."""
    return {
        unicodedata.name(character, "UNKNOWN").split()[0].split("-")[0]
        for character in text
        if character.isalpha()
    }


def language_warnings(texts: Iterable[str], languages: Collection[str]) -> list[str]:
    """One sentence for each script that none of the model's languages is written in."""
    found = sorted({script for text in texts for script in scripts_of(text)})
    known = ", ".join(sorted(languages))
    names = dict.fromkeys(
        _SCRIPTS.get(script, (script.capitalize(), frozenset()))[0]
        for script in found
        if not _is_measured(script, languages)
    )
    return [
        f"The query has {name} letters, but this model was measured in these languages only: "
        f"{known}. Expect poor results."
        for name in names
    ]


def _is_measured(script: str, languages: Collection[str]) -> bool:
    written_in = _SCRIPTS.get(script, ("", frozenset()))[1]
    if written_in is None:
        return not languages or any(language not in _NOT_LATIN for language in languages)
    return any(language in written_in for language in languages)
