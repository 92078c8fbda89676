"""The stored words of tracks follow the tracks, on both databases."""

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.database.engine import Database
from service.database.migrate import downgrade, migrate
from service.database.tables import TagLabel, TagValue, Track
from service.keywords.store import (
    refresh_track_text,
    refresh_track_texts,
    repair_texts,
    verify_texts,
)
from tests.support.library import Library
from tests.support.rows import new_track


def stored_words(database: Database, pk: int) -> set[str]:
    """Every stored word of a track, of any field."""
    with database.read() as session:
        if database.is_sqlite:
            query = "SELECT * FROM track_search WHERE rowid = :pk"
            rows = session.execute(sa.text(query), {"pk": pk}).all()
            return {word for row in rows for text in row for word in text.split()}
        query = "SELECT unnest(tsvector_to_array(document)) FROM track_search WHERE track_pk = :pk"
        return {word[1:] for word in session.scalars(sa.text(query), {"pk": pk})}


def add_tag(session: Session, track: Track, label: str, *, assigned: bool = True) -> None:
    named = TagLabel(
        model_id="m", vocabulary="v", version=1, group_name="mood", label=label, vector=b""
    )
    session.add(named)
    session.flush()
    session.add(TagValue(track_pk=track.pk, label_pk=named.pk, score=0.5, assigned=assigned))


def test_words_follow_fields_tags_and_deletion(database: Database) -> None:
    with database.write() as session:
        track = new_track(session, title="Été", artist="Debussy", filename="a b.flac")
        add_tag(session, track, "calm")
        add_tag(session, track, "angry", assigned=False)
        refresh_track_text(session, track.pk)
    assert stored_words(database, track.pk) >= {"ete", "debussy", "a", "b", "calm"}
    assert "angry" not in stored_words(database, track.pk)
    with database.write() as session:
        session.get_one(Track, track.pk).title = "Winter"
        refresh_track_text(session, track.pk)
    assert "winter" in stored_words(database, track.pk)
    assert "ete" not in stored_words(database, track.pk)
    with database.write() as session:
        session.execute(sa.delete(Track).where(Track.pk == track.pk))
        refresh_track_text(session, track.pk)
    assert stored_words(database, track.pk) == set()
    assert verify_texts(database).ok


def test_a_change_that_is_rolled_back_leaves_the_words(database: Database) -> None:
    with database.write() as session:
        track = new_track(session, title="first")
        refresh_track_text(session, track.pk)

    def fail() -> None:
        with database.write() as session:
            session.get_one(Track, track.pk).title = "second"
            refresh_track_text(session, track.pk)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert "first" in stored_words(database, track.pk)


def test_drift_is_found_and_repaired(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.keywords.store._BATCH", 3)
    with database.write() as session:
        tracks = [new_track(session, title=f"song {number}") for number in range(10)]
        pks = [track.pk for track in tracks]
        refresh_track_texts(session, pks)
    assert verify_texts(database).ok
    with database.write() as session:
        session.get_one(Track, pks[1]).title = "changed behind its back"
        session.execute(sa.delete(Track).where(Track.pk == pks[4]))  # PostgreSQL cascades
        new_track(session, title="came without words")
    found = verify_texts(database)
    assert (found.checked, found.missing, found.different) == (10, 1, 1)
    assert found.extra == (1 if database.is_sqlite else 0)
    repaired = repair_texts(database)
    assert repaired.repaired == found.missing + found.different + found.extra
    assert verify_texts(database).ok
    assert "behind" in stored_words(database, pks[1])


def test_a_title_and_tags_that_change_together_are_both_kept(postgres_url: str) -> None:
    """Two transactions on one track: the later one must see what the earlier one wrote."""
    database = Database(postgres_url)
    with database.write() as session:
        pk = new_track(session, title="before").pk
    tagged = threading.Event()

    def tag() -> None:
        with database.write() as session:
            add_tag(session, session.get_one(Track, pk), "calm")
            session.flush()
            tagged.set()
            refresh_track_text(session, pk)  # waits for the title's transaction

    thread = threading.Thread(target=tag)
    with database.write() as session:
        session.get_one(Track, pk).title = "after"
        refresh_track_text(session, pk)
        thread.start()
        assert tagged.wait(10)
    thread.join()
    assert stored_words(database, pk) >= {"after", "calm"}
    database.dispose()


def test_the_migration_stores_the_words_of_tracks_that_are_here(database_url: str) -> None:
    database = Database(database_url)
    with database.write() as session:
        pks = [new_track(session, title=f"Étude {number}").pk for number in range(3)]
    database.dispose()
    downgrade(database_url, "0006")
    migrate(database_url)
    database = Database(database_url)
    assert verify_texts(database).ok
    assert {"etude", "2"} <= stored_words(database, pks[2])
    database.dispose()


def test_what_makes_edits_and_deletes_tracks_keeps_their_words(
    database: Database, tmp_path: Path
) -> None:
    library = Library(database, tmp_path)
    track = library.upload_tone(title="Clair de Lune").track
    assert {"clair", "lune"} <= stored_words(database, track.pk)
    library.tracks.patch_track(track.id, {"title": None, "artist": "Debussy"})
    assert "debussy" in stored_words(database, track.pk)
    assert "lune" not in stored_words(database, track.pk)
    library.tracks.delete_track(track.id)
    assert stored_words(database, track.pk) == set()
    assert verify_texts(database).ok
    library.close()
