"""Databases for tests: real SQLite and real PostgreSQL, each made by running the migrations.

The PostgreSQL server is a throwaway one on a socket in a temporary folder. Where its programs are
absent the tests that need it are skipped, and pytest's summary says so; with
MUQUERY_TEST_POSTGRES=required they fail instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
import pytest

from service.database.engine import Database
from service.database.migrate import migrate
from service.database.tables import Base

_UNPRIVILEGED = "postgres"
_numbers = count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A running server; `folder` holds its socket."""

    folder: Path

    def url(self, name: str) -> str:
        return f"postgresql+psycopg://{_UNPRIVILEGED}@/{name}?host={self.folder}"

    def execute(self, statement: str) -> None:
        with psycopg.connect(
            host=str(self.folder), user=_UNPRIVILEGED, dbname="postgres", autocommit=True
        ) as connection:
            connection.execute(statement.encode())


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = _find_programs()
    if programs is None:
        reason = "NOT TESTED ON POSTGRESQL: initdb was not found (Debian: apt install postgresql)"
        if os.environ.get("MUQUERY_TEST_POSTGRES") == "required":
            pytest.fail(reason)
        pytest.skip(reason)
    # Not pytest's own folder: that one is closed to other users, and root may not run a server.
    folder = Path(tempfile.mkdtemp(prefix="muquery-pg-"))
    try:
        if os.geteuid() == 0:
            shutil.chown(folder, _UNPRIVILEGED)
        data = str(folder / "data")
        _run(programs, "initdb", "-D", data, "-A", "trust", "-U", _UNPRIVILEGED, "-E", "UTF8")
        options = f"-k {folder} -c listen_addresses= -c fsync=off -c full_page_writes=off"
        log = str(folder / "log")
        _run(programs, "pg_ctl", "-D", data, "-o", options, "-l", log, "-w", "start")
        try:
            yield PostgresServer(folder)
        finally:
            _run(programs, "pg_ctl", "-D", data, "-m", "immediate", "-w", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated database file without rows, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.sqlite3"
    migrate(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    """A migrated database that tests use one after another: making one takes 0.4 s."""
    postgres_server.execute("CREATE DATABASE shared")
    migrate(postgres_server.url("shared"))
    return postgres_server.url("shared")


@pytest.fixture
def sqlite_url(tmp_path: Path, sqlite_template: Path) -> str:
    """A migrated, empty SQLite database."""
    path = tmp_path / "muquery.sqlite3"
    shutil.copyfile(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def postgres_url(postgres_server: PostgresServer, postgres_database: str) -> Iterator[str]:
    """A migrated, empty PostgreSQL database."""
    yield postgres_database
    # Whoever is still connected (a process that the test killed) would hold the tables.
    postgres_server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = 'shared'"
    )
    tables = ", ".join(Base.metadata.tables)
    with psycopg.connect(
        host=str(postgres_server.folder), user=_UNPRIVILEGED, dbname="shared", autocommit=True
    ) as connection:
        connection.execute(f"TRUNCATE {tables} CASCADE".encode())


@pytest.fixture
def empty_postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """A PostgreSQL database without any tables."""
    name = f"empty_{next(_numbers)}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """A migrated, empty database; the test runs once on each engine."""
    url: str = request.getfixturevalue(
        "sqlite_url" if request.param == "sqlite" else "postgres_url"
    )
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """The same, connected."""
    connected = Database(database_url)
    yield connected
    connected.dispose()


def _find_programs() -> Path | None:
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).parent
    installed = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    newest = max(installed, key=lambda path: float(path.parent.parent.name), default=None)
    return newest.parent if newest else None


def _run(programs: Path, program: str, *arguments: str) -> None:
    command = [str(programs / program), *arguments]
    if os.geteuid() == 0:
        user = f"--reuid={_UNPRIVILEGED}", f"--regid={_UNPRIVILEGED}", "--clear-groups"
        command = ["setpriv", *user, *command]
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, cwd="/", check=False
    )
    if done.returncode:
        raise RuntimeError(f"{program} failed: {done.stderr.decode(errors='replace')}")
