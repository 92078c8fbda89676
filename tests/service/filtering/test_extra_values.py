"""The rows of a track's own metadata are always those of its JSON."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.database.extra_values import KEY_CHARS, ExtraKind, extra_values
from service.database.migrate import downgrade, migrate
from service.database.tables import Track, TrackExtra
from service.tracks.service import TrackService
from tests.support.rows import new_track

json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=20),
    lambda children: (
        st.lists(children, max_size=3)
        | st.dictionaries(st.sampled_from("xy"), children, max_size=2)
    ),
    max_leaves=6,
)
extras = st.dictionaries(st.sampled_from(["a", "b", "a.b", "é"]), json_values, max_size=3)


def rows_of(session: Session, pk: int) -> set[tuple[Any, ...]]:
    query = select(TrackExtra).where(TrackExtra.track_pk == pk)
    return {
        (row.key, row.position, row.kind, row.text, row.text_key, row.number)
        for row in session.scalars(query)
    }


def test_rows_follow_the_json(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        track = new_track(session)
        pk, public_id = track.pk, track.id
    service = TrackService(database, LocalBlobStore(tmp_path / "blobs"))

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(extras)
    def check(extra: dict[str, Any]) -> None:
        service.patch_track(public_id, {"extra": extra})
        with database.read() as session:
            stored = session.get_one(Track, pk).extra
            expected = {tuple(vars(value).values()) for value in extra_values(stored)}
            assert rows_of(session, pk) == expected

    check()
    service.delete_track(public_id)
    with database.read() as session:
        assert rows_of(session, pk) == set()


def test_true_replaces_one(database: Database, tmp_path: Path) -> None:
    """Which are equal in Python, and not to a person."""
    service = TrackService(database, LocalBlobStore(tmp_path / "blobs"))
    with database.write() as session:
        track = new_track(session, extra={"ok": 1})
    service.patch_track(track.id, {"extra": {"ok": True}})
    with database.read() as session:
        assert session.get_one(Track, track.pk).extra["ok"] is True
        assert {row[2] for row in rows_of(session, track.pk)} == {"boolean"}


def test_what_becomes_a_row() -> None:
    found = extra_values(
        {
            "list": ["Ä", "a", "ä", None, 1, 1.0, True, {"k": 1}, [2], "b"],
            "null": None,
            "none": [],
            "": 1,
            "k" * KEY_CHARS: 1,
            "k" * (KEY_CHARS + 1): 1,
            "big": 10**400,
        }
    )
    kinds = [(value.kind, value.text, value.number) for value in found if value.key == "list"]
    assert kinds == [
        (ExtraKind.TEXT, "Ä", None),
        (ExtraKind.NUMBER, None, 1.0),
        (ExtraKind.BOOLEAN, None, 1.0),
        (ExtraKind.OBJECT, None, None),
        (ExtraKind.TEXT, "b", None),
    ]
    assert [value.position for value in found if value.key == "list"] == list(range(5))
    assert {value.key for value in found} == {"list", "k" * KEY_CHARS, "big"}
    assert [value.kind for value in found if value.key == "big"] == [ExtraKind.OBJECT]


def test_a_text_may_be_as_long_as_extra_allows(database: Database) -> None:
    with database.write() as session:
        track = new_track(session, extra={"long": "ä" * 15_000}, title="𝔛" * 500)
        assert len(rows_of(session, track.pk)) == 1


def test_an_older_database_gets_its_rows(database_url: str) -> None:
    """Down to the schema without them, and up again, with tracks in it."""
    extra = {"bpm": 120, "moods": ["calm", "Calm", "wild"], "ok": True, "none": None}
    database = Database(database_url)
    with database.write() as session:
        pks = [new_track(session, title="Été", artist=None, extra=extra).pk for _ in range(3)]
        before = rows_of(session, pks[0])
    database.dispose()
    downgrade(database_url, "0005")
    migrate(database_url)
    database = Database(database_url)
    with database.read() as session:
        for pk in pks:
            assert rows_of(session, pk) == before
            track = session.get_one(Track, pk)
            assert (track.title_key, track.artist_key) == ("ete", None)
            assert track.extra == extra
    database.dispose()
