"""Connections to SQLite and PostgreSQL that behave alike: explicit transactions, one clock.

SQLite's driver would begin transactions by itself, late and deferred; here each transaction begins
when the session does: reads as plain BEGIN, writes as BEGIN IMMEDIATE, so that a writer waits for
its turn instead of failing when it upgrades from a read.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import Connection, Engine, event, func, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.orm import Session, sessionmaker

SQLITE_BUSY_MS = 30_000
_WRITES = "muquery_writes"
_PRIMARY_CODE = 0xFF  # SQLite puts the kind of an error in its lowest byte
_SWITCH_PAUSE_S = 0.02

_added_to_writes: ContextVar[Callable[[Session], None] | None] = ContextVar(
    "added_to_writes", default=None
)


class Database:
    """One database and its pool; cheap to share between threads, never between processes."""

    def __init__(self, url: str, *, pool_size: int = 10) -> None:
        self.url = normalised_url(url)
        self.engine = open_engine(self.url, pool_size=pool_size)
        reading = self.engine.execution_options(postgresql_readonly=True)
        writing = self.engine.execution_options(**{_WRITES: True})
        frozen = reading.execution_options(isolation_level="REPEATABLE READ")
        self._read = sessionmaker(reading, expire_on_commit=False)
        self._snapshot = sessionmaker(reading if self.is_sqlite else frozen, expire_on_commit=False)
        self._write = sessionmaker(writing, expire_on_commit=False)

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A session that cannot write."""
        with self._read() as session:
            yield session

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """A session that cannot write and sees the database of one moment, however long it reads.

        On SQLite every read session is like that.
        """
        with self._snapshot() as session:
            yield session

    @contextmanager
    def write(self) -> Iterator[Session]:
        """A session that commits at the end of the block, or rolls all of it back on an error."""
        with self._write.begin() as session:
            yield session
            if add := _added_to_writes.get():
                add(session)

    def ping(self) -> None:
        """Raise what the driver raises when the database does not answer."""
        with self.read() as session:
            session.execute(text("SELECT 1"))

    def dispose(self) -> None:
        self.engine.dispose()


@contextmanager
def opened_database(url: str) -> Iterator[Database]:
    """A database whose connections are closed at the end of the block, also on an error."""
    database = Database(url)
    try:
        yield database
    finally:
        database.dispose()


@contextmanager
def added_to_writes(add: Callable[[Session], None]) -> Iterator[None]:
    """Within the block, and in threads that inherit its context, every write commits this too."""
    token = _added_to_writes.set(add)
    try:
        yield
    finally:
        _added_to_writes.reset(token)


def database_now(session: Session) -> datetime:
    """The time by the clock that all processes of this database share."""
    if session.get_bind().dialect.name == "sqlite":
        return datetime.now(UTC)
    now: datetime = session.execute(select(func.clock_timestamp())).scalar_one()
    return now.astimezone(UTC)


class LockSpace(IntEnum):
    """What an advisory lock is about: keys of different spaces never collide."""

    INDEX_CHANGES = 1
    BLOB = 2
    BACKFILL = 3
    SHARED_INDEX = 4
    API_KEYS = 5
    MODELS = 6
    IMPORTS = 7
    VOCABULARIES = 8


def lock_until_commit(session: Session, space: LockSpace, key: int = 0) -> None:
    """Let one transaction at a time past this point, per 32-bit key; it ends after the commit.

    SQLite needs nothing: a write session holds the only write lock from its first moment.
    """
    if session.get_bind().dialect.name != "sqlite":
        lock = text("SELECT pg_advisory_xact_lock(:space, :key)")
        session.execute(lock, {"space": int(space), "key": key})


def try_lock_until_commit(session: Session, space: LockSpace, key: int = 0) -> bool:
    """The same without waiting; False where someone else is past this point. PostgreSQL only."""
    lock = text("SELECT pg_try_advisory_xact_lock(:space, :key)")
    return bool(session.scalar(lock, {"space": int(space), "key": key}))


def normalised_url(url: str) -> URL:
    """The URL with its driver named; `postgres://` and `postgresql://` mean psycopg 3."""
    parsed = make_url(url)
    if parsed.drivername in ("postgres", "postgresql"):
        parsed = parsed.set(drivername="postgresql+psycopg")
    if parsed.get_backend_name() not in ("sqlite", "postgresql"):
        raise ValueError("the database must be SQLite or PostgreSQL")
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError("SQLite must be a file: threads and processes share it")
    return parsed


def open_engine(url: URL, *, foreign_keys: bool = True, **pool: Any) -> Engine:
    """An engine with this project's connection rules; `pool` is passed on to SQLAlchemy."""
    if url.get_backend_name() == "postgresql":
        return sqlalchemy.create_engine(url, pool_pre_ping="poolclass" not in pool, **pool)
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = sqlalchemy.create_engine(url, **pool)
    event.listen(engine, "connect", _SqliteConnect(foreign_keys))
    event.listen(engine, "begin", _begin_sqlite)
    return engine


class _SqliteConnect:
    """Prepares each new SQLite connection."""

    def __init__(self, foreign_keys: bool) -> None:
        self.foreign_keys = foreign_keys

    def __call__(self, connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # transactions begin in `_begin_sqlite` alone
        # SQLite's own lower() knows A to Z only, PostgreSQL's all letters.
        connection.create_function("lower", 1, _lower, deterministic=True)
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {SQLITE_BUSY_MS}")
        _use_wal(cursor)
        cursor.execute("PRAGMA synchronous = FULL")  # an acknowledged upload survives a power cut
        cursor.execute(f"PRAGMA foreign_keys = {'ON' if self.foreign_keys else 'OFF'}")
        cursor.close()


def _use_wal(cursor: Any) -> None:
    """Switch the file to its write-ahead log, waiting for others who are switching it too.

    SQLite answers "database is locked" at once when two connections to a new file switch
    together: its busy timeout does not cover this lock. Later connections find the file switched.
    """
    deadline = time.monotonic() + SQLITE_BUSY_MS / 1000
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & _PRIMARY_CODE == sqlite3.SQLITE_BUSY
            if not busy or time.monotonic() > deadline:
                raise
        time.sleep(_SWITCH_PAUSE_S)


def _lower(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES, False)
    connection.exec_driver_sql(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


@contextmanager
def writing_connection(engine: Engine) -> Iterator[Connection]:
    """A bare connection inside one write transaction, for migrations."""
    with engine.execution_options(**{_WRITES: True}).begin() as connection:
        yield connection
