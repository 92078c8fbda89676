"""Titles, artists and albums that nobody made, spread as in a real library: few names are common.

The same seed gives the same names. Words are of syllables, and some are real, so that a keyword
search has words that are rare, common and absent.
"""

# ruff: noqa: SIM905 - a word a line would be two hundred lines

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np

REAL_WORDS = (
    "night love day light rain blue river dance home fire moon summer winter heart dream city "
    "ocean road song waltz sonata prelude piano cello violin guitar drums bach evening morning "
    "star wild silver gold shadow garden wind storm north south train café été Mädchen"
).split()
GENRES = (
    "Pop Rock Classical Electronic Jazz Folk Ambient Hip-Hop Metal Soundtrack Blues House Indie "
    "Techno Soul Country Reggae Funk World Punk R&B Latin Disco Dub Gospel Opera Swing Trance "
    "Experimental Polka"
).split()
MOODS = "calm dark bright tense happy sad epic warm cold dreamy playful angry".split()
HOW = "calm bright dark fast slow tense warm sad happy heavy gentle wild dreamy epic".split()
WHAT = (
    "piano guitar strings choir drums synthesizer violin cello trumpet flute organ saxophone "
    "harp bass voice orchestra"
).split()
WHERE = (
    "at night|in a church|for a film|by the sea|in a club|for dancing|in the rain|for the morning|"
    "from the forest|in a small room|on a street|for a game|in spring|before a storm|at a wedding"
).split("|")
BEAT = "in a waltz|with a strong beat|without drums|with long notes|getting louder".split("|")
_SYLLABLES = "ka lo mi ren sa tor ul ve na bel dri fon gar hel is jo".split()


@dataclass(frozen=True)
class Names:
    """What the tracks of a library are called; each list is as long as the library."""

    titles: list[str]
    artists: list[str]
    albums: list[str]
    genres: list[str | None]


def make_names(count: int, chance: np.random.Generator) -> Names:
    """Names of `count` tracks: of 12 to an artist and 5 to an album in the mean."""
    words = [*REAL_WORDS, *("".join(parts) for parts in product(_SYLLABLES, repeat=3))]
    artists = [_phrase(words, 2, chance) for _ in range(max(count // 12, 1))]
    of_artist = _common_first(len(artists), count, chance)
    album_of_artist = chance.integers(0, 4, count)
    lengths = chance.integers(1, 6, count)
    genre_of = _common_first(len(GENRES), count, chance)
    without = chance.random(count) < 0.1
    return Names(
        titles=[_phrase(words, length, chance) for length in lengths.tolist()],
        artists=[artists[number] for number in of_artist],
        albums=[
            f"{words[(artist * 7 + album) % len(words)].capitalize()} {artists[artist].split()[0]}"
            for artist, album in zip(of_artist.tolist(), album_of_artist.tolist(), strict=True)
        ],
        genres=[
            None if none else GENRES[number]
            for number, none in zip(genre_of.tolist(), without.tolist(), strict=True)
        ],
    )


def _phrase(words: list[str], length: int, chance: np.random.Generator) -> str:
    picked = _common_first(len(words), length, chance)
    return " ".join(words[number] for number in picked).capitalize()


def _common_first(kinds: int, count: int, chance: np.random.Generator) -> np.ndarray:
    """`count` numbers below `kinds`, small ones more often, each possible."""
    return (kinds * chance.random(count) ** 2.5).astype(np.int64)
