"""What an accompaniment style's file name says about its music: genre, usual tempo, arrangement.

The style files are tools; this table and every word of the captions made from it are ours. Rules
are tried in order and the first whose key occurs in the file's stem wins, so that "rockwaltz" is
decided before "rock". Drum patterns in three ("...34") name no genre here: what we add is in four.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Harmony = Literal["pop", "jazz", "blues", "minor", "classical"]


@dataclass(frozen=True)
class Style:
    """A genre with its common other names, its range of tempo and the harmony that suits it."""

    genre: str
    synonyms: tuple[str, ...]
    tempo_bpm: tuple[int, int]
    harmony: Harmony
    band: str = "pop"


@dataclass(frozen=True)
class Part:
    """One instrument that we add to a style of drums alone: an MMA voice and its pattern."""

    track: str
    voice: str
    pattern: str
    octave: int


RULES: tuple[tuple[tuple[str, ...], Style], ...] = (
    (
        ("metronome", "none", "ending", "intro", "count.", "mide", "34."),
        Style("", (), (0, 0), "pop"),
    ),
    (
        ("heavymetal", "metal", "mtl"),
        Style("heavy metal", ("metal",), (130, 185), "minor", "metal"),
    ),
    (("thr",), Style("thrash metal", ("metal", "fast metal"), (170, 215), "minor", "metal")),
    (("punk",), Style("punk rock", ("punk", "rock"), (160, 200), "pop", "metal")),
    (("hrk", "digitalrock"), Style("hard rock", ("rock",), (115, 155), "minor", "metal")),
    (
        ("triphop", "trip"),
        Style("trip hop", ("downtempo", "electronic"), (75, 95), "minor", "synth"),
    ),
    (("hip",), Style("hip hop", ("rap beat", "urban"), (80, 100), "minor", "synth")),
    (("dnb",), Style("drum and bass", ("jungle", "electronic"), (165, 178), "minor", "synth")),
    (("techno", "rave"), Style("techno", ("electronic", "dance"), (125, 145), "minor", "synth")),
    (("trance",), Style("trance", ("electronic", "dance"), (130, 142), "minor", "synth")),
    (("latinhouse",), Style("latin house", ("house", "latin dance"), (120, 128), "minor", "synth")),
    (("house",), Style("house", ("electronic", "club dance"), (118, 128), "minor", "synth")),
    (("ambient",), Style("ambient", ("atmospheric", "electronic"), (60, 85), "pop", "pad")),
    (("disco",), Style("disco", ("dance", "soul"), (112, 126), "pop", "pop")),
    (("dance", "boneym"), Style("dance pop", ("dance", "pop"), (116, 130), "pop", "synth")),
    (("electricpop",), Style("synth pop", ("electronic pop", "pop"), (105, 128), "pop", "synth")),
    (("reggae",), Style("reggae", ("dub", "jamaican music"), (70, 90), "pop", "reggae")),
    (("ska",), Style("ska", ("jamaican music",), (130, 165), "pop", "reggae")),
    (("calypso",), Style("calypso", ("caribbean music",), (110, 140), "pop")),
    (("zydeco",), Style("zydeco", ("cajun", "folk"), (120, 150), "pop")),
    (
        ("bossa", "quando"),
        Style("bossa nova", ("latin jazz", "brazilian"), (110, 145), "jazz", "jazz"),
    ),
    (("samba",), Style("samba", ("brazilian", "latin"), (90, 115), "jazz", "jazz")),
    (
        ("salsa", "son.", "mambo", "afro-cuban", "cubanguitar", "rhumba", "chacha", "beguine"),
        Style("latin", ("cuban", "salsa"), (95, 150), "jazz", "jazz"),
    ),
    (("merengue",), Style("merengue", ("latin", "dance"), (120, 150), "pop")),
    (("tango",), Style("tango", ("argentine", "latin"), (105, 130), "minor")),
    (("bolero",), Style("bolero", ("latin ballad", "latin"), (75, 100), "minor")),
    (("afro",), Style("african music", ("afro", "world music"), (95, 125), "pop")),
    (
        ("lfusion", "latinfusion", "latinwaltz", "latin"),
        Style("latin", ("latin pop",), (95, 130), "jazz", "jazz"),
    ),
    (
        ("fusion", "fus16", "jazzrock"),
        Style("jazz fusion", ("fusion", "jazz"), (95, 130), "jazz", "jazz"),
    ),
    (("bigband", "basie"), Style("big band jazz", ("swing", "jazz"), (110, 180), "jazz", "jazz")),
    (("gypsyjazz",), Style("gypsy jazz", ("swing", "jazz"), (160, 220), "jazz", "jazz")),
    (("bebop",), Style("bebop", ("jazz", "fast jazz"), (180, 230), "jazz", "jazz")),
    (
        ("jazzwaltz", "modernjazzwaltz"),
        Style("jazz waltz", ("jazz", "waltz"), (120, 170), "jazz", "jazz"),
    ),
    (("jazz", "evansish"), Style("jazz", ("jazz combo",), (90, 170), "jazz", "jazz")),
    (("ragtime",), Style("ragtime", ("old-time piano",), (90, 120), "pop", "jazz")),
    (
        ("dixie", "charleston"),
        Style("dixieland", ("early jazz", "jazz"), (150, 210), "pop", "jazz"),
    ),
    (("westernswing", "countryswing"), Style("western swing", ("country",), (120, 170), "pop")),
    (
        ("swing", "foxtrot", "quickstep", "jive"),
        Style("swing", ("jazz", "ballroom dance"), (110, 180), "jazz", "jazz"),
    ),
    (
        ("countryblues", "fastblues", "slowblues", "blues"),
        Style("blues", ("twelve-bar blues",), (65, 130), "blues", "pop"),
    ),
    (
        ("boggie", "boogie"),
        Style("boogie woogie", ("blues", "rock and roll"), (130, 175), "blues", "pop"),
    ),
    (("bluegrass",), Style("bluegrass", ("country", "folk"), (110, 150), "pop")),
    (("folk", "hillcountry"), Style("folk", ("acoustic",), (85, 125), "pop")),
    (
        ("country", "western", "cntry", "kwest", "w-rock"),
        Style("country", ("americana",), (90, 130), "pop"),
    ),
    (("motown", "soul", "strut"), Style("soul", ("rhythm and blues", "motown"), (90, 120), "pop")),
    (("bvfunk", "funk"), Style("funk", ("groove",), (95, 118), "minor")),
    (
        ("r+b", "rnb", "rb", "mellowrb"),
        Style("rhythm and blues", ("r&b", "soul"), (75, 110), "jazz"),
    ),
    (("spiritual", "hymn"), Style("gospel", ("spiritual", "church music"), (65, 100), "pop")),
    (("frenchwaltz",), Style("musette waltz", ("french waltz", "waltz"), (150, 190), "classical")),
    (("waltz",), Style("waltz", ("ballroom dance", "three-four time"), (90, 170), "classical")),
    (("polka",), Style("polka", ("folk dance", "oompah"), (110, 140), "classical")),
    (("march",), Style("march", ("military march", "brass band"), (105, 125), "classical")),
    (("lullaby",), Style("lullaby", ("cradle song", "gentle"), (60, 85), "classical")),
    (("serenade",), Style("serenade", ("light classical",), (80, 110), "classical")),
    (
        ("broadway", "showtune", "softshoe"),
        Style("show tune", ("broadway", "musical theatre"), (90, 140), "jazz"),
    ),
    (
        ("50srock", "50s_rock", "twist", "twi"),
        Style("rock and roll", ("oldies", "fifties rock"), (140, 180), "blues", "pop"),
    ),
    (
        ("60srock", "basicrock", "bubblerock", "rock", "8beat", "beat8"),
        Style("rock", ("pop rock",), (105, 145), "pop", "rock"),
    ),
    (("16beat", "beat16"), Style("pop", ("pop ballad",), (85, 112), "pop")),
    (("ballad", "bald"), Style("ballad", ("slow pop",), (60, 82), "pop", "pop")),
    (("desert",), Style("desert rock", ("rock",), (85, 110), "minor", "rock")),
    (("shuffle",), Style("shuffle", ("blues rock",), (105, 140), "blues", "rock")),
    (("arpeggio",), Style("arpeggios", ("light classical",), (75, 110), "classical", "pad")),
    (("pop", "highfive"), Style("pop", ("pop song",), (95, 128), "pop")),
)

PROGRESSIONS: dict[Harmony, tuple[str, ...]] = {
    "pop": ("1 5 6m 4", "1 4 5 4", "1 6m 4 5", "6m 4 1 5", "1 2m 4 5", "1 3m 4 5", "4 1 5 6m"),
    "jazz": (
        "2m7 57 1M7 6m7",
        "1M7 6m7 2m7 57",
        "1M7 4M7 3m7 67",
        "1m7 47 2m7b5 57",
        "3m7 67 2m7 57",
    ),
    "blues": ("17 17 47 17", "17 47 17 57", "1m7 1m7 4m7 57", "17 47 57 47"),
    "minor": ("1m b6 b3 b7", "1m b7 b6 b7", "1m 4m 1m b6", "1m 1m b3 4m", "1m b6 4m 5"),
    "classical": ("1 4 5 1", "1 57 57 1", "1m 4m 57 1m", "1 6m 2m 57", "1m b6 57 1m"),
}

# What plays beside a style of drums alone, in MMA's pattern notation (beat, length, velocity).
BANDS: dict[str, tuple[tuple[Part, ...], ...]] = {
    "metal": (
        (
            Part("Chord", "DistortionGuitar", "1 8 110 * 8", 3),
            Part("Bass", "PickedBass", "1 8 1 100 * 8", 2),
        ),
        (
            Part("Chord", "OverdriveGuitar", "1 4 105 * 4", 3),
            Part("Bass", "PickedBass", "1 8 1 100 * 8", 2),
        ),
    ),
    "rock": (
        (
            Part("Chord", "OverdriveGuitar", "1 8 95 * 8", 4),
            Part("Bass", "FingeredBass", "1 8 1 95 * 8", 2),
        ),
        (
            Part("Chord", "SteelGuitar", "1 4 90; 2 8 80; 2.5 8 85; 3 4 90; 4 8 80; 4.5 8 85", 5),
            Part("Bass", "FingeredBass", "1 4 1 95; 2.5 8 1 90; 3 4 5 90", 2),
        ),
    ),
    "synth": (
        (
            Part("Chord", "WarmPad", "1 1 75", 5),
            Part("Bass", "SynthBass1", "1.5 8 1 100; 2.5 8 1 100; 3.5 8 1 100; 4.5 8 1 100", 3),
        ),
        (
            Part("Chord", "SawWave", "1 8 85; 1.75 8 85; 2.5 8 85; 3.5 8 85", 5),
            Part("Bass", "SynthBass2", "1 8 1 100 * 8", 3),
        ),
    ),
    "pad": ((Part("Chord", "SweepPad", "1 1 75", 5), Part("Bass", "SynthBass2", "1 1 1 70", 3)),),
    "reggae": (
        (
            Part("Chord", "JazzGuitar", "2 16 95; 4 16 95", 5),
            Part("Bass", "FingeredBass", "1 4 1 100; 2.5 8 3 95; 3 4 5 100", 2),
        ),
        (
            Part("Chord", "Organ2", "1.5 16 90; 2.5 16 90; 3.5 16 90; 4.5 16 90", 5),
            Part("Bass", "FingeredBass", "1 8 1 100; 2 4 5 95; 3.5 8 1 100", 2),
        ),
    ),
    "jazz": (
        (
            Part("Chord", "Piano1", "1.5 4 75; 3 8 70; 4.5 8 75", 5),
            Part("Bass", "AcousticBass", "1 4 1 90; 2 4 3 85; 3 4 5 90; 4 4 3 85", 3),
        ),
        (
            Part("Chord", "Vibraphone", "1 2 75; 3.5 4 70", 5),
            Part("Bass", "AcousticBass", "1 4 1 90; 2 4 5 85; 3 4 1 90; 4 4 5 85", 3),
        ),
    ),
    "pop": (
        (
            Part("Chord", "Piano1", "1 4 85 * 4", 5),
            Part("Bass", "FingeredBass", "1 4 1 90; 3 4 5 85", 2),
        ),
        (
            Part("Chord", "NylonGuitar", "1 8 80 * 8", 5),
            Part("Bass", "FingeredBass", "1 4 1 90; 2.5 8 1 85; 3 4 5 85", 2),
        ),
        (
            Part("Chord", "RhodesPiano", "1 2 80; 3 2 80", 5),
            Part("Bass", "FingeredBass", "1 2 1 90; 3 2 5 85", 2),
        ),
    ),
}


def find_style(stem: str) -> Style | None:
    """Return the style that a file's stem names, or None where it names no genre."""
    key = stem.lower() + "."
    for needles, style in RULES:
        if any(needle in key for needle in needles):
            return style if style.genre else None
    return None


def is_in_four(stem: str) -> bool:
    """Say whether a style counts four beats a bar, as our lead tunes do."""
    return not any(word in stem.lower() for word in ("waltz", "68", "54", "34", "lullaby"))
