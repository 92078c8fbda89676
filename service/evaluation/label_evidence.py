"""What each label of the standard vocabulary is measured against: which facts mean it.

Documented genres and instruments of recordings, exact facts of renders, and another tagger's tags.
A label in none of the tables has no yardstick and stays as its author marked it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from models.training.manifest import ManifestEntry

Means = Callable[[ManifestEntry], bool]

GENRES: Mapping[str, tuple[str, ...]] = {
    "rock": ("rock", "pop rock", "hard rock", "blues rock", "rock and roll", "punk"),
    "metal": ("metal", "death metal", "heavy metal"),
    "pop": ("pop", "dance pop", "pop ballad", "latin pop", "pop song"),
    "electronic": (
        "electronic", "electronica", "dance", "house", "dance pop", "club dance", "techno",
        "chiptune", "trance", "drum and bass",
    ),
    "hip hop": ("hip hop",),
    "ambient": ("ambient", "atmospheric"),
    "classical": ("classical", "orchestral", "light classical", "baroque", "romantic"),
    "jazz": ("jazz", "jazz combo", "swing", "latin jazz"),
    "latin": ("latin", "salsa", "cuban", "brazilian", "latin pop", "latin jazz", "bossa nova"),
    "blues": ("blues", "twelve-bar blues", "ragtime"),
    "folk": ("folk", "world music"),
    "reggae": ("reggae",),
}  # fmt: skip

RENDERED: Mapping[str, tuple[str, ...]] = {
    "drums": ("drums",),
    "strings": ("strings",),
    "synthesizer": ("synthesizer", "synth strings", "synth bass"),
    "acoustic guitar": ("nylon-string guitar", "steel-string guitar"),
    "flute": ("flute",),
    "trumpet": ("trumpet",),
    "church organ": ("church organ",),
    "vibraphone": ("vibraphone", "marimba"),
    "piano": ("piano",),
    "electric guitar": (
        "distorted guitar", "overdriven guitar", "clean electric guitar",
        "muted electric guitar", "jazz guitar",
    ),
    "saxophone": ("saxophone",),
    "brass": ("brass",),
    "choir": ("choir",),
}  # fmt: skip

PLAYED: Mapping[str, tuple[str, ...]] = {
    "strings": ("strings", "violin", "viola", "cello"),
    "piano": ("piano",),
    "drums": ("drums", "percussion"),
    "synthesizer": ("synthesizer",),
    "acoustic guitar": ("acoustic guitar", "classical guitar"),
    "flute": ("flute",),
    "trumpet": ("trumpet",),
    "church organ": ("church organ", "organ", "pipe organ"),
    "electric guitar": ("electric guitar",),
    "saxophone": ("saxophone",),
    "brass": ("brass", "trumpet", "horn", "trombone", "french horn", "tuba"),
    "choir": ("choir",),
    "vocals": ("vocals",),
    "vibraphone": ("vibraphone", "xylophone", "marimba"),
}  # fmt: skip

HEARD: Mapping[str, tuple[str, ...]] = {
    "calm": ("quiet", "soft", "Mellow", "chill"),
    "quiet": ("quiet",),
    "happy": ("happy",),
    "sad": ("sad",),
    "romantic": ("sexy", "beautiful"),
    "mysterious": ("weird",),
    "aggressive": ("metal", "loud", "hard rock"),
    "epic": ("loud", "classical", "-quiet"),
    "energetic": ("loud", "fast", "party"),
    "dark": ("weird", "sad", "-happy"),
    "tense": ("weird", "loud"),
    "dreamy": ("new age", "ambient"),
    "party": ("party",),
    "workout": ("fast", "loud", "dance"),
    "relaxation": ("chillout", "chill", "quiet"),
    "sleep": ("quiet", "soft", "slow"),
    "background": ("easy listening", "chillout"),
    "studying": ("chillout", "easy listening"),
    "strings": ("strings", "violin"),
    "synthesizer": ("synth",),
    "acoustic guitar": ("acoustic", "guitar", "-metal"),
    "flute": ("flute",),
    "piano": ("piano",),
    "drums": ("drums",),
}
"""The tagger's tags; one with a minus counts against the label."""

REMARKS: Mapping[str, str] = {
    "electronic": "dance music is here too",
    "folk": "with world music",
    "dark": "on weird, sad and not happy",
    "epic": "on loud, classical and not quiet",
    "mysterious": "on weird",
    "tense": "on weird and loud",
    "dreamy": "on new age and ambient",
    "workout": "on fast, loud and dance",
    "relaxation": "on chillout and quiet",
    "sleep": "on quiet, soft and slow",
    "background": "on easy listening and chillout",
    "studying": "on easy listening and chillout",
}
"""What the figures alone would not say."""


def means_genre(label: str) -> Means:
    """Whether a track's documented genre is one that the label means."""
    return lambda entry: _any(entry, ("genre",), GENRES[label])


def means_rendered(label: str) -> Means:
    """Whether a render has one of the label's instruments or families."""
    return lambda entry: _any(entry, ("instrument", "family", "drums"), RENDERED[label])


def means_played(label: str) -> Means:
    """Whether a recording is documented to have one of the label's instruments."""
    return lambda entry: _any(entry, ("instrument",), PLAYED[label])


def _any(entry: ManifestEntry, kinds: tuple[str, ...], values: tuple[str, ...]) -> bool:
    return any(value in entry.tags.get(kind, ()) for kind in kinds for value in values)
