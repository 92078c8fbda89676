"""The demo library's pieces: held-out recordings of different character, freely redistributable.

Genres are said only where the file's own tags or title say them. None of these packages is
trained on, and none is reserved.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class DemoPiece:
    """One piece: where it is in its package, what it is called, and where its excerpt starts."""

    file: str
    package: str
    inner_name: str
    title: str
    artist: str
    album: str
    start_s: float
    genre: str | None = None
    year: int | None = None


def _muldjord(file: str, name: str, title: str, year: int, start_s: float) -> DemoPiece:
    return DemoPiece(
        file,
        "fretsonfire-songs-muldjord",
        name,
        title,
        "Muldjord",
        "Frets on Fire songs",
        start_s,
        "Death Metal",
        year,
    )


def _hawk(file: str, title: str, start_s: float) -> DemoPiece:
    return DemoPiece(
        file,
        "wizznic-data",
        f"Sean Hawk - {title}.ogg",
        title,
        "Sean Hawk",
        "Wizznic Soundtrack",
        start_s,
        "Electronica",
        2010,
    )


def _kpone(
    file: str, name: str, title: str, genre: str | None, year: int, start_s: float
) -> DemoPiece:
    return DemoPiece(
        file,
        "openclonk-data",
        name,
        title,
        "Martin Strohmeier (K-Pone)",
        "OpenClonk",
        start_s,
        genre,
        year,
    )


def _warmux(
    file: str, name: str, title: str, artist: str, start_s: float,
    genre: str | None = None, year: int | None = None,
) -> DemoPiece:  # fmt: skip
    return DemoPiece(file, "warmux-data", name, title, artist, "WarMUX", start_s, genre, year)


def _horizons(
    file: str, name: str, title: str, artist: str, start_s: float, genre: str | None = None
) -> DemoPiece:
    album = "Unknown Horizons"
    return DemoPiece(file, "unknown-horizons", name, title, artist, album, start_s, genre)


_SABOURET = "Sébastien Sabouret"
_TEAM = "Unknown Horizons Team"

DEMO_PIECES: tuple[DemoPiece, ...] = (
    _muldjord("muldjord-armygeddon", "armygeddon/song.ogg", "Armygeddon", 2006, 60),
    _muldjord("muldjord-mutilated-mime", "mutilated_mime/song.ogg", "Mutilated Mime", 2008, 45),
    _hawk("sean-hawk-imperia", "Imperia", 60),
    _hawk("sean-hawk-in-rome", "In Rome", 45),
    _hawk("sean-hawk-smash-it", "Smash It", 40),
    _kpone(
        "k-pone-crushed-ice-cocktail",
        "@CrushedIceCocktail.ogg",
        "Crushed Ice Cocktail",
        "House",
        2016,
        30,
    ),
    _kpone("k-pone-island-dreams", "IslandDreams.ogg", "Island Dreams", "Reggae", 2014, 40),
    _kpone("k-pone-lucid-dream", "LucidDream.ogg", "Lucid Dream", "Ambient", 2015, 50),
    _kpone("k-pone-motorway", "Motorway.ogg", "Motorway", "Rock", 2014, 45),
    _kpone("k-pone-urban-bolero", "UrbanBolero.ogg", "Urban Bolero", "Orchestral", 2015, 120),
    _kpone("k-pone-cavern", "Cavern.ogg", "Cavern", None, 2016, 50),
    DemoPiece(
        "grieg-morning",
        "unknown-horizons",
        "Peer Gynt Suite No. 1, Op. 46 - I. Morning.ogg",
        "Peer Gynt Suite No. 1, Op. 46: Morning (Edvard Grieg)",
        "Czech National Symphony Orchestra",
        "Musopen Kickstarter Project",
        35,
        "Classical",
    ),
    _horizons("irelands-coast", "irelands_coast.ogg", "Ireland's Coast", _TEAM, 40),
    _horizons("sea-fight", "seafight.ogg", "Sea Fight", _TEAM, 20),
    _horizons("night-dream", "nightdream.ogg", "Night Dream", _TEAM, 40),
    _horizons(
        "ships-kobold",
        "beware_the_ships_kobold.ogg",
        "Beware the Ship's Kobold!",
        "Tobias Escher",
        60,
    ),
    _warmux(
        "divertissement-pour-flute",
        "Divertissement_pour_flute.ogg",
        "Divertissement pour flûte",
        "Lawrence Azzoug",
        10,
        "Classical",
        2009,
    ),
    _warmux(
        "like-a-rock", "Olivier_Militon.-.Like_a_rock.ogg", "Like a Rock", "Olivier Militon", 20
    ),
    _warmux("circux", "circux.ogg", "Circux", _SABOURET, 30),
    _warmux("exoticux", "exoticux.ogg", "Exoticux", _SABOURET, 15),
    _warmux("diabolicux", "diabolicux.ogg", "Diabolicux", _SABOURET, 60),
    _warmux(
        "monkey-bubble", "Mike_Errecart.-.Monkey-bubble.ogg", "Monkey Bubble", "Mike Errecart", 40
    ),
    DemoPiece(
        "enigma-rag",
        "enigma-data",
        "enigma_rag.ogg",
        "Enigma Rag",
        "Clifford J. Tasner",
        "Enigma",
        30,
        "Ragtime",
        2007,
    ),
    DemoPiece(
        "enigma-meditation",
        "enigma-data",
        "meditation.ogg",
        "Meditation",
        "Clifford J. Tasner",
        "Enigma",
        25,
        None,
        2007,
    ),
    DemoPiece(
        "city-blues",
        "lincity-ng-data",
        "02 - Robert van Herk - City Blues.ogg",
        "City Blues",
        "Robert van Herk",
        "LinCity-NG",
        60,
        "Blues",
    ),
    DemoPiece(
        "warm-ink",
        "gigalomania-data",
        "gamemusic.ogg",
        "Warm Ink",
        "_ghost",
        "ccMixter",
        60,
        None,
        2012,
    ),
    DemoPiece(
        "credits-ballad",
        "extremetuxracer-data",
        "credits1-cp.ogg",
        "Credits Ballad",
        "Kristian Picon",
        "Extreme Tux Racer",
        15,
        "Ballad",
        2007,
    ),
    DemoPiece(
        "freezing-point",
        "extremetuxracer-data",
        "freezingpoint.ogg",
        "Freezing Point",
        "Grady O'Connell",
        "Extreme Tux Racer",
        20,
        None,
        2008,
    ),
    DemoPiece(
        "pax-britannica",
        "pax-britannica-data",
        "music.ogg",
        "Pax Britannica",
        "the Pax Britannica team",
        "Pax Britannica",
        90,
    ),
    DemoPiece(
        "dawning-fanfare",
        "freeciv-data",
        "CullamBruce-Lockhart--Dawning_Fanfare.ogg",
        "Dawning Fanfare",
        "Cullam Bruce-Lockhart",
        "Freeciv",
        15,
    ),
)
