"""Keyword search against its own rules, on both databases; what is hostile finds nothing."""

from collections.abc import Sequence
from typing import Any

import pytest

from service.database.engine import Database
from service.database.tables import Track, TrackState
from service.keywords.lookup import (
    MAX_QUERY_WORDS,
    KeywordMatch,
    find_matches,
    keyword_query,
    matched_fields,
)
from service.keywords.store import read_documents, refresh_track_texts
from tests.support.rows import new_track

PLAIN = {"state": TrackState.READY, "filename": "01.flac"}


def fill(database: Database, *tracks: dict[str, Any]) -> list[int]:
    with database.write() as session:
        pks = [new_track(session, **(PLAIN | track)).pk for track in tracks]
        refresh_track_texts(session, pks)
    return pks


def ask(database: Database, *texts: str, limit: int = 100, **options: Any) -> list[KeywordMatch]:
    with database.read() as session:
        return find_matches(session, keyword_query(texts), limit=limit, **options)


def found(database: Database, *texts: str, **options: Any) -> list[int]:
    return [match.track_pk for match in ask(database, *texts, **options)]


def test_title_goes_before_artist_before_album_before_genre_before_file_name(
    database: Database,
) -> None:
    fields = ("filename", "genre", "album", "artist", "title")
    pks = fill(database, *({field: "the cello pieces"} for field in fields))
    assert found(database, "cello") == pks[::-1]


def test_more_and_rarer_words_go_first(database: Database) -> None:
    both, rare, common, *rest = fill(
        database,
        {"title": "suite for cello", "artist": "Bach"},
        {"title": "partita", "artist": "Bach"},
        {"title": "cello song"},
        *({"title": f"cello number {i}"} for i in range(10)),
    )
    matches = ask(database, "bach cello")
    assert [match.track_pk for match in matches] == [both, rare, common, *rest]
    assert matches[0].share == 1.0
    assert 0.5 < matches[1].share < 1.0
    assert matches[1].share + matches[2].share == pytest.approx(1.0, abs=0.01)


def test_a_whole_title_goes_before_one_that_only_holds_it(database: Database) -> None:
    longer, whole, artist = fill(
        database,
        {"title": "Clair de Lune, arranged for brass"},
        {"title": "Clair de lune"},
        {"artist": "Clair de Lune"},
    )
    assert found(database, "CLAIR DE LUNE") == [whole, longer, artist]
    assert found(database, "clairdelune")[0] == whole
    assert found(database, "clair de lu")[0] in (whole, longer)


def test_only_the_last_word_may_go_on(database: Database) -> None:
    cello, cellos = fill(database, {"title": "cello"}, {"title": "Violoncellos and cellos"})
    assert found(database, "cello") == [cello, cellos]
    assert found(database, "cel") == [cello, cellos]
    assert found(database, "cel ") == []
    assert found(database, "cel quiet") == []
    assert found(database, "c") == [], "one letter would find half of the library"


def test_accents_and_scripts(database: Database) -> None:
    ete, rusalka, night = fill(
        database, {"title": "L'Été indien"}, {"artist": "Dvořák"}, {"title": "春江花月夜"}
    )
    assert found(database, "lete") == [ete]
    assert found(database, "DVORAK") == found(database, "dvořák") == [rusalka]
    assert found(database, "花月") == found(database, "夜") == [night]


def test_ties_are_in_order_of_number_and_pages_are_prefixes(database: Database) -> None:
    pks = fill(database, *({"title": "same words"} for _ in range(8)))
    assert found(database, "same") == pks
    assert found(database, "same", limit=3) == pks[:3]


def test_only_ready_tracks_that_meet_the_conditions(database: Database) -> None:
    old, _, new = fill(
        database,
        {"title": "cello", "year": 1970},
        {"title": "cello", "state": TrackState.FAILED},
        {"title": "cello", "year": 2020},
    )
    assert found(database, "cello") == [old, new]
    assert found(database, "cello", conditions=[Track.year > 2000]) == [new]


HOSTILE = [
    "", " ", '"', "'", "\x00", "*", "AND", "NOT", "OR NOT", "NEAR(a b)", "title:cello", "-cello",
    '"unclosed', "'); DROP TABLE tracks; --", "{title} : x", "^cello", "cello*", "a & b | !c",
    "<->", "\\", "%_%", "🎵🎶", "((((", "\ud800", "\u202e\u0000", "cello' OR '1'='1",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_texts_are_words_or_nothing(database: Database, text: str) -> None:
    (cello,) = fill(database, {"title": "cello concerto"})
    assert found(database, text) == ([cello] if "cello" in text else [])


def test_very_long_texts_are_answered(database: Database) -> None:
    (pk,) = fill(database, {"title": "x" * 500})
    assert found(database, "x" * 100_000) == [pk]
    many = keyword_query([" ".join(f"w{i}" for i in range(1_000))])
    assert len(many.words) == MAX_QUERY_WORDS
    assert ask(database, " ".join(f"w{i}" for i in range(1_000))) == []


def test_fields_that_matched_are_named(database: Database) -> None:
    bach, moon = fill(
        database,
        {"title": "Suite for cello", "artist": "J. S. Bach", "filename": "bach-cellos.flac"},
        {"title": "Clair de lune"},
    )

    def fields(pk: int, *texts: str) -> Sequence[str]:
        with database.read() as session:
            return matched_fields(read_documents(session, [pk])[pk], keyword_query(texts))

    assert fields(bach, "bach cello") == ["title", "artist", "filename"]
    assert fields(bach, "cellos") == ["filename"]
    assert fields(moon, "clairdel") == ["title"]
    assert fields(moon, "bach") == []
