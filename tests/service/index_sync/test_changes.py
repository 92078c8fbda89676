"""Numbers of changes are in commit order, which PostgreSQL does not give by itself."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import IndexChange
from service.index_sync import changes
from service.index_sync.changes import append_change, latest_seq, list_changes


def seen_after(database: Database, seq: int) -> list[int]:
    with database.read() as session:
        return [change.seq for change in list_changes(session, "m", after_seq=seq, limit=100)]


def test_overlapping_transactions_number_in_commit_order(database: Database) -> None:
    """The first to take a number commits last of all it could: the second must not pass it."""
    entered, may_commit, second_done = threading.Event(), threading.Event(), threading.Event()
    seen_between: list[int] = []

    def first() -> None:
        with database.write() as session:
            append_change(session, "publish", 1, "m")
            entered.set()
            assert may_commit.wait(10)

    def second() -> None:
        assert entered.wait(10)
        with database.write() as session:
            append_change(session, "publish", 2, "m")
        second_done.set()

    threads = [threading.Thread(target=first), threading.Thread(target=second)]
    for thread in threads:
        thread.start()
    assert entered.wait(10)
    assert not second_done.wait(0.3), "the second waits for the first one's commit"
    seen_between = seen_after(database, 0)
    may_commit.set()
    for thread in threads:
        thread.join()
    assert seen_between == []
    assert seen_after(database, 0) == [1, 2]


@pytest.mark.postgres
def test_the_trap_is_real_without_the_lock(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same with numbers taken from a sequence: a reader passes a change over for ever."""
    monkeypatch.setattr(changes, "lock_until_commit", lambda *_: None)
    monkeypatch.setattr(
        changes,
        "latest_seq",
        lambda session: session.scalar(sa.text("SELECT nextval('tracks_pk_seq')")) - 1,
    )
    database = Database(postgres_url)
    with database.write() as slow:
        first = append_change(slow, "publish", 1, "m")
        with database.write() as quick:
            second = append_change(quick, "publish", 2, "m")
        assert seen_after(database, 0) == [second]
    assert first < second
    assert seen_after(database, second) == [], "the reader never sees the first one"
    assert seen_after(database, 0) == [first, second]
    database.dispose()


def test_many_writers_leave_no_gap(database: Database) -> None:
    def write(model_id: str) -> None:
        for pk in range(10):
            with database.write() as session:
                append_change(session, "publish", pk, model_id)

    threads = [threading.Thread(target=write, args=(f"m{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert latest_seq(session) == 40
        assert session.scalar(sa.select(sa.func.count()).select_from(IndexChange)) == 40


def test_a_rolled_back_change_gives_its_number_back(database: Database) -> None:
    def fail() -> None:
        with database.write() as session:
            append_change(session, "publish", 1, "m")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with database.write() as session:
        assert append_change(session, "delete", 1, None) == 1
