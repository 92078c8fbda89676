"""What the corpus never touches, and which licences it may train on."""

from __future__ import annotations

# Kept for an independent judgement of the bundled model: never fetched, trained on or evaluated.
RESERVED_PACKAGES: frozenset[str] = frozenset(
    {
        "marsshooter-data",
        "freedink-data",
        "fretsonfire-songs-sectoid",
        "nexuiz-music",
        "nexuiz-data",
        "naev-data",
        "hedgewars-data",
        "sonic-pi-samples",
    }
)

# Who made the reserved music: left out of training wherever else their music appears.
RESERVED_ARTISTS: tuple[str, ...] = (
    "Obsidian Shell",
    "elysis",
    "blkrbt",
    "Askyel",
    "Ken Seguro",
    "Nikola Whallon",
    "Zeropage",
)

# Artists whose recordings are evaluated on: left out of training wherever they appear. Their pieces
# stay in packages that are trained on otherwise, since a package by twenty artists is no one group.
EVALUATED_ARTISTS: frozenset[str] = frozenset(
    {
        "ryan reilly",
        "timothy pinkham",
        "jeremy nicoll",
        "gianmarco leone",
        "bart kelsey",
        "treskalle",
        "dj helium",
        "speedsound",
    }
)

# Compatible with weights under GPL-3.0-or-later. Left out: GPL-2 alone (no way to version 3), Free
# Art 1.2 and other licences of their own, non-commercial ones, and what states no version.
TRAINING_LICENCES: frozenset[str] = frozenset(
    {
        "BSD-2-Clause",
        "CC-BY-3.0",
        "CC-BY-4.0",
        "CC-BY-SA-3.0",
        "CC-BY-SA-3.0+",
        "CC-BY-SA-4.0",
        "CC0-1.0",
        "GPL-2+",
        "GPL-3",
        "GPL-3+",
        "MIT",
        "public-domain",
    }
)
