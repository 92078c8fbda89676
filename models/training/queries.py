"""Texts that a listener may type: what the teacher is asked while a student learns from it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.training.captions import CaptionWeights, texts_of
from models.training.manifest import ManifestEntry
from models.training.misspelling import mistype_one
from models.training.teacher.glossary import the_glossary

# How a phrase of each section of the glossary is asked for.
_FORMS = {
    "genre": ("{}", "a {} track", "something like {}"),
    "instrument": ("{}", "music with {}", "{} playing"),
    "voice": ("{}", "music with {}"),
    "sound": ("{}", "{} music"),
    "mood": ("{}", "{} music", "a {} piece"),
}
# How phrases of several sections are asked for together.
_MIXTURES = (
    "{mood} {genre}", "{genre} with {instrument}", "{mood} {instrument}", "{sound}, {mood} {genre}",
    "{instrument} and {instrument}", "{mood} {genre} with {instrument}",
    "{instrument} over {sound}",
    "{genre} with {voice}", "{mood} music with {instrument} and {voice}", "{sound} {instrument}",
    "{genre}, {mood}, {instrument}", "{mood} and {mood}", "{voice} over {mood} {instrument}",
)  # fmt: skip
_LANGUAGES = """
musique classique, piano calme, guitare acoustique, chanson française, musique électronique,
heavy metal agressif, klassische Musik, elektronische Tanzmusik, langsames Klavier, laute Gitarren,
Chorgesang, ruhige Streicher, música clásica, guitarra flamenca, música electrónica, voz de mujer,
canción triste, rock rápido, musica orchestrale, pianoforte lento, música de dança, violão,
классическая музыка, тяжёлый рок, электронная музыка, женский вокал, спокойное пианино,
クラシック音楽, 静かなピアノ, 激しいロック, 電子音楽, 女性ボーカル, 古典音乐, 安静的钢琴, 摇滚乐,
电子音乐, 女声, 클래식 음악, 조용한 피아노, 록 음악
"""
_SEED = 20261128
_MIXED = 3000
_MISSPELT = 0.15
_MOST_CAPTIONS = 2000


@dataclass(frozen=True)
class Query:
    """A text as it is typed, and the text that it means: the same, without typing errors."""

    text: str
    meant: str


def vocabulary() -> list[str]:
    """List words of genre, instrument, voice, sound and mood, each in a few forms."""
    glossary = the_glossary()
    forms = (
        form.format(phrase)
        for phrase, section in zip(glossary.phrases, glossary.sections, strict=True)
        for form in _FORMS[section]
    )
    languages = (word.strip().replace("\n", " ") for word in _LANGUAGES.split(","))
    return list(dict.fromkeys([*forms, *languages]))


def mixed_queries(count: int = _MIXED) -> list[str]:
    """Put phrases of the glossary together in sentences; the same ones in every call."""
    rng = np.random.default_rng(_SEED)
    glossary = the_glossary()
    words = {section: glossary.of(section) for section in _FORMS}

    def drawn(section: str) -> str:
        return words[section][int(rng.integers(len(words[section])))]

    made: dict[str, None] = {}
    for form in itertools.islice(itertools.cycle(_MIXTURES), count):
        text = form
        for section in words:
            while f"{{{section}}}" in text:
                text = text.replace(f"{{{section}}}", drawn(section), 1)
        made[text] = None
    return list(made)


def list_queries(
    entries: Sequence[ManifestEntry], tags: Sequence[str], weights: CaptionWeights
) -> list[Query]:
    """List queries, no text twice: the teacher's tags, vocabulary, mixtures, training captions.

    A part of them comes a second time with a typing error.
    """
    spoken = itertools.chain.from_iterable(
        texts_of(entry, weights).texts for entry in entries if entry.split == "train"
    )
    captions = list(dict.fromkeys(spoken))
    step = max(len(captions) // _MOST_CAPTIONS, 1)
    texts = list(dict.fromkeys([*tags, *vocabulary(), *mixed_queries(), *captions[::step]]))
    rng = np.random.default_rng(_SEED)
    typed = {text: text for text in texts}
    for text in texts:
        if rng.random() < _MISSPELT:
            typed.setdefault(mistype_one(text, rng), text)
    return [Query(text, meant) for text, meant in typed.items()]
