"""Transactions, clocks and types behave alike on both engines."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.database.engine import Database, database_now, normalised_url, opened_database
from service.database.tables import ServiceState, Track
from tests.support.rows import new_track


def test_a_write_is_all_or_nothing(database: Database) -> None:
    def write_and_fail() -> None:
        with database.write() as session:
            new_track(session)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Track)) == 0


def test_a_read_session_cannot_write(database: Database) -> None:
    write = sa.insert(ServiceState).values(key="a", value="b")
    with pytest.raises(sa.exc.DBAPIError), database.read() as session:
        session.execute(write)
    with database.write() as session:  # the connection goes back to the pool unharmed
        session.execute(write)


def test_writers_that_read_first_queue_up(database: Database) -> None:
    """On SQLite a deferred transaction would fail here with "database is locked"."""
    with database.write() as session:
        session.add(ServiceState(key="n", value="0"))

    def count_up() -> None:
        for _ in range(20):
            with database.write() as session:
                row = session.scalar(
                    sa.select(ServiceState).where(ServiceState.key == "n").with_for_update()
                )
                assert row is not None
                row.value = str(int(row.value) + 1)

    threads = [threading.Thread(target=count_up) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.scalar(sa.select(ServiceState.value)) == "80"


def test_readers_do_not_wait_for_a_writer(database: Database) -> None:
    with database.write() as writing:
        new_track(writing)
        began = time.monotonic()
        with database.read() as reading:
            assert reading.scalar(sa.select(sa.func.count()).select_from(Track)) == 0
        assert time.monotonic() - began < 2.0


def test_instants_survive_their_zone(database: Database) -> None:
    noon_far_east = datetime(2026, 1, 2, 12, 0, 0, 123456, timezone(timedelta(hours=5)))
    with database.write() as session:
        pk = new_track(session, added_at=noon_far_east).pk
    with database.read() as session:
        stored = session.scalar(sa.select(Track.added_at).where(Track.pk == pk))
    assert stored == noon_far_east
    assert stored is not None
    assert stored.tzinfo is UTC


def test_a_time_without_a_zone_is_refused(database: Database) -> None:
    with pytest.raises(sa.exc.StatementError, match="ambiguous"), database.write() as session:
        new_track(session, added_at=datetime(2026, 1, 2))


def test_the_database_clock_is_now(database: Database) -> None:
    with database.read() as session:
        assert abs(database_now(session) - datetime.now(UTC)) < timedelta(seconds=5)


def test_track_numbers_are_never_given_twice(database: Database) -> None:
    with database.write() as session:
        first = new_track(session).pk
        session.execute(sa.delete(Track))
    with database.write() as session:
        assert new_track(session).pk > first


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "mysql://a/b"])
def test_unfit_urls_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="SQLite"):
        normalised_url(url)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_means_psycopg(scheme: str) -> None:
    assert normalised_url(f"{scheme}://u@h/d").drivername == "postgresql+psycopg"


def test_an_opened_database_is_closed_also_on_an_error(tmp_path: Path) -> None:
    closed: list[object] = []

    def use_and_fail() -> None:
        with opened_database(f"sqlite:///{tmp_path / 'one.sqlite3'}") as database:
            sa.event.listen(database.engine, "close", lambda one, _: closed.append(one))
            database.ping()
            assert not closed
            raise RuntimeError

    with pytest.raises(RuntimeError):
        use_and_fail()
    assert len(closed) == 1


def test_many_may_open_a_new_sqlite_file_at_once(tmp_path: Path) -> None:
    """Without a wait for the switch to WAL about one round in eight fails: forty find it."""
    failures: list[Exception] = []

    def open_file(path: Path, start: threading.Barrier) -> None:
        database = Database(f"sqlite:///{path}")
        try:
            start.wait()
            database.ping()
        except Exception as error:  # noqa: BLE001
            failures.append(error)
        finally:
            database.dispose()

    for number in range(40):
        start = threading.Barrier(6)
        path = tmp_path / f"{number}.sqlite3"
        threads = [threading.Thread(target=open_file, args=(path, start)) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failures == []
