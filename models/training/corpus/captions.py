"""Words for what is known about a piece: tags, phrases and sentences of ours from exact facts.

A file's own title and context words make captions of kind "title", apart from the facts. "For a
chase scene" and the like are said only where a rule in this module declares when: they are
proxies from tempo, mode and instruments, never a listener's judgement.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from models.training.corpus.instruments import SYNONYMS, program_family, program_name
from models.training.corpus.render import Facts
from models.training.manifest import Caption

_RICH_WEIGHT = 3.0

_TEMPO_WORDS: tuple[tuple[int, str, tuple[str, ...]], ...] = (
    (76, "slow", ("slow", "slow-paced", "low-tempo")),
    (104, "moderate", ("mid-tempo", "moderately paced", "medium tempo")),
    (138, "upbeat", ("upbeat", "lively", "brisk")),
    (1000, "fast", ("fast", "up-tempo", "high-tempo")),
)


@dataclass(frozen=True)
class Described:
    """Captions and tags of one piece."""

    captions: tuple[Caption, ...]
    tags: dict[str, tuple[str, ...]]


def tempo_word(tempo_bpm: float) -> str:
    """Return "slow", "moderate", "upbeat" or "fast" for a tempo in beats per minute."""
    return next(word for limit, word, _ in _TEMPO_WORDS if tempo_bpm < limit)


def describe_render(facts: Facts, seed: int) -> Described:
    """Describe a render; the first caption is its fullest sentence, the one evaluation asks for."""
    draw = random.Random(seed)  # noqa: S311
    voices = _voices(facts)
    full = _full_sentence(facts, voices)
    rich = _rich_sentences(facts, voices, draw)
    texts = [*_sentences(facts, voices, draw), *_short(facts, voices, draw)]
    # A sentence that says everything tells clips apart; a single word fits hundreds of them.
    weights = dict.fromkeys(texts, 1.0) | dict.fromkeys(rich, _RICH_WEIGHT)
    weights.pop(full, None)
    captions = [Caption(full, "fact", _RICH_WEIGHT)]
    captions += [Caption(text, "fact", weight) for text, weight in weights.items()]
    return Described(tuple(captions), _tags(facts, voices))


def describe_recording(
    genres: Sequence[str],
    instruments: Sequence[str],
    title: str | None,
    artist: str | None,
    context: Sequence[str],
    seed: int,
) -> Described:
    """Describe a recording from documented genres and instruments, and from its own title."""
    draw = random.Random(seed)  # noqa: S311
    captions: list[Caption] = []
    for genre in genres:
        captions += [
            Caption(text, "fact", 1.0)
            for text in (genre, f"{genre} music", draw.choice(_GENRE_FORMS).format(g=genre))
        ]
    for name in instruments:
        captions.append(Caption(draw.choice(_INSTRUMENT_FORMS).format(i=name), "fact", 0.7))
    if genres and instruments:
        captions.append(Caption(f"{genres[0]} with {_join(instruments)}", "fact", 1.0))
    if title:
        captions.append(Caption(title, "title", 0.3))
        if artist:
            captions.append(Caption(f"{title} by {artist}", "title", 0.2))
    for word in context:
        captions.append(Caption(f"{word} music from a video game", "title", 0.4))
    tags = {"genre": tuple(genres), "instrument": tuple(instruments), "context": tuple(context)}
    return Described(tuple(captions), {kind: values for kind, values in tags.items() if values})


_GENRE_FORMS = (
    "a {g} track",
    "a piece of {g}",
    "{g} instrumental",
    "something in the style of {g}",
    "{g} tune",
)
_INSTRUMENT_FORMS = ("{i}", "music with {i}", "featuring {i}", "the sound of {i}")


def _voices(facts: Facts) -> tuple[str, ...]:
    names = [program_name(program) for program in facts.programs]
    if facts.lead_program in facts.programs:
        names.insert(0, program_name(facts.lead_program or 0))
    return tuple(dict.fromkeys(names))[:5]


def _full_sentence(facts: Facts, voices: Sequence[str]) -> str:
    speed = tempo_word(facts.tempo_bpm)
    opening = _a(speed).capitalize()
    if facts.solo:
        return (
            f"{opening} piece for solo {voices[0]} in {facts.key} {facts.mode}, "
            f"{facts.tempo_bpm} beats per minute"
        )
    drums = "drums" if facts.has_drums else "no drums"
    return (
        f"{opening} {facts.genre} piece with {_join((*voices[:4], drums))}, "
        f"in {facts.key} {facts.mode} at {facts.tempo_bpm} beats per minute"
    )


def _rich_sentences(facts: Facts, voices: Sequence[str], draw: random.Random) -> list[str]:
    """Say nearly everything that is known, in other words and another order each time."""
    speed, key = _speed_phrase(facts, draw), f"{facts.mode} key"
    if facts.solo:
        return [
            f"{voices[0]} alone, {speed}, in a {key}",
            f"a solo of {facts.tempo_bpm} bpm for {voices[0]}, {facts.key} {facts.mode}",
        ]
    named = list(voices[:4])
    draw.shuffle(named)
    beat = "over a drum beat" if facts.has_drums else "without any drums"
    other = draw.choice((facts.genre, *facts.synonyms))
    return [
        f"{facts.genre} at {facts.tempo_bpm} bpm: {_join(named)}, {beat}, {key}",
        f"{speed} {other} in a {key}, played by {_join(named)} {beat}",
        f"{_join(named)} {beat} in the manner of {facts.genre}, {speed}",
    ]


def _sentences(facts: Facts, voices: Sequence[str], draw: random.Random) -> list[str]:
    speed = _speed_phrase(facts, draw)
    lead = voices[0] if voices else "the band"
    some = list(voices)
    draw.shuffle(some)
    pair = _join(some[:2])
    if facts.solo:
        return [
            f"solo {lead}",
            f"{lead} playing alone",
            f"unaccompanied {lead}",
            f"{_a(speed)} {lead} solo",
            f"only {lead}, no other instruments and no drums",
            *(f"solo {other}" for other in SYNONYMS.get(lead, ())),
            f"{speed} {lead} melody in a {facts.mode} key",
        ]
    genre = facts.genre or ""
    other = draw.choice(facts.synonyms) if facts.synonyms else genre
    forms = [
        f"{speed} {genre} with {pair}",
        f"{genre} featuring {lead}",
        f"{other} with {pair}" + (" and drums" if facts.has_drums else ", without drums"),
        f"{_a(speed)} {other} tune in a {facts.mode} key",
        f"{lead} leading a {genre} band" if facts.lead_program is not None else f"{genre} band",
        f"an instrumental {genre} track, {speed}, around {facts.tempo_bpm} bpm",
        f"I am looking for {speed} {genre}",
        f"{genre} groove in {facts.key} {facts.mode}",
    ]
    other_names = [name for voice in voices[:3] for name in SYNONYMS.get(voice, ())]
    if other_names:
        name = draw.choice(other_names)
        forms += [f"{genre} with {name}", name, f"music with {name}"]
    return [*forms, *_uses(facts)]


def _short(facts: Facts, voices: Sequence[str], draw: random.Random) -> list[str]:
    tags = [facts.genre or f"solo {voices[0]}", *facts.synonyms, *voices, facts.mode]
    draw.shuffle(tags)
    short = [
        ", ".join(tags[:4]),
        _speed_phrase(facts, draw),
        f"{facts.tempo_bpm} bpm",
        draw.choice(_INSTRUMENT_FORMS).format(i=draw.choice(list(voices))),
        draw.choice(sorted({program_family(program) for program in facts.programs})),
    ]
    if facts.genre:
        short += [facts.genre, f"{facts.genre} music", *facts.synonyms]
        short.append(draw.choice(_GENRE_FORMS).format(g=facts.genre))
    short.append("drums and percussion" if facts.has_drums else "music without drums")
    return short


def _uses(facts: Facts) -> list[str]:
    """Proxies, declared here: what a tempo, mode and arrangement are commonly used for."""
    uses = []
    if facts.tempo_bpm >= 160 and facts.mode == "minor" and facts.has_drums:
        uses.append("tense fast music for a chase scene")
    if facts.tempo_bpm <= 80 and not facts.has_drums:
        uses.append("calm background music without a beat")
    if facts.genre in {"house", "techno", "trance", "disco", "dance pop"}:
        uses.append("music to dance to in a club")
    if facts.genre in {"swing", "waltz", "tango", "polka"}:
        uses.append("music for ballroom dancing")
    return uses


def _speed_phrase(facts: Facts, draw: random.Random) -> str:
    return next(draw.choice(words) for limit, _, words in _TEMPO_WORDS if facts.tempo_bpm < limit)


def _tags(facts: Facts, voices: Sequence[str]) -> dict[str, tuple[str, ...]]:
    tags = {
        "instrument": (*voices, *(("drums",) if facts.has_drums else ())),
        "family": tuple(sorted({program_family(program) for program in facts.programs})),
        "tempo": (tempo_word(facts.tempo_bpm),),
        "bpm": (str(facts.tempo_bpm),),
        "key": (f"{facts.key} {facts.mode}",),
        "mode": (facts.mode,),
        "drums": ("drums" if facts.has_drums else "no drums",),
    }
    if facts.genre:
        tags["genre"] = (facts.genre, *facts.synonyms)
    if facts.solo:
        tags["texture"] = ("solo",)
    return tags


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def _join(names: Sequence[str]) -> str:
    listed = list(names)
    if len(listed) < 2:
        return "".join(listed)
    return ", ".join(listed[:-1]) + " and " + listed[-1]
