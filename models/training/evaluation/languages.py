"""Genre labels asked in other languages: committed translations, one word or phrase each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from models.training.evaluation.judging import TagTable, judge_tags
from models.training.evaluation.labelled import DATA
from models.training.evaluation.scorers import Scorer
from models.training.manifest import ManifestEntry

LANGUAGES = ("en", "fr", "de", "es", "ja", "ru", "zh")


def read_words(path: Path = DATA / "labels.json") -> dict[str, dict[str, str]]:
    """Read each language's words by English label; English says the label itself."""
    translations: dict[str, dict[str, str]] = json.loads(path.read_text("utf-8"))
    return {
        language: {
            label: label if language == "en" else words[language]
            for label, words in translations.items()
        }
        for language in LANGUAGES
    }


def judge_languages(
    name: str, bundle: Scorer, teacher: Scorer | None, entries: Sequence[ManifestEntry]
) -> dict[str, TagTable]:
    """Judge the genres of a set in every language, by the bare word without a prompt around it."""
    tables = {
        language: judge_tags(name, bundle, teacher, entries, ("genre",), ("{label}",), words)
        for language, words in read_words().items()
    }
    return {language: table for language, table in tables.items() if table is not None}
