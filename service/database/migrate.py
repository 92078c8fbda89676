"""Bring a database to the schema of this release, from a checkout or an installed package."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, func, select
from sqlalchemy.pool import NullPool

import migrations
from service.database.engine import normalised_url, open_engine, writing_connection

_MIGRATION_LOCK = 0x6D75717565727901


class DatabaseTooNew(RuntimeError):
    """A newer release has migrated this database; this one must not touch it."""


def migrate(url: str, revision: str = "head") -> str:
    """Upgrade to `revision` in one transaction and return the revision reached.

    Several processes may call this at once: one migrates, the others wait and find it done.
    Raises DatabaseTooNew when the database was migrated by a later release.
    """
    return _run(url, revision, upgrade=True)


def downgrade(url: str, revision: str) -> str:
    """Take the schema back to `revision` ("base" for nothing at all), losing what it held."""
    return _run(url, revision, upgrade=False)


def current_revision(url: str) -> str | None:
    """The revision that the database is at, or None where there is none yet."""
    engine = open_engine(normalised_url(url), poolclass=NullPool)
    with engine.connect() as connection:
        return MigrationContext.configure(connection).get_current_revision()


def head_revision() -> str:
    """The revision that this release needs."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    return config


def _run(url: str, revision: str, *, upgrade: bool) -> str:
    # Foreign keys stay off: SQLite alters a table by rebuilding it, and dropping the old one would
    # cascade into its children. They are checked before the transaction commits instead.
    engine = open_engine(normalised_url(url), foreign_keys=False, poolclass=NullPool)
    with writing_connection(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
        config = _config()
        _refuse_newer(connection, ScriptDirectory.from_config(config))
        config.attributes["connection"] = connection
        (command.upgrade if upgrade else command.downgrade)(config, revision)
        _check_foreign_keys(connection)
        return MigrationContext.configure(connection).get_current_revision() or "base"


def _refuse_newer(connection: Connection, scripts: ScriptDirectory) -> None:
    current = MigrationContext.configure(connection).get_current_revision()
    known = {script.revision for script in scripts.walk_revisions()}
    if current is not None and current not in known:
        raise DatabaseTooNew(f"the database is at revision {current}, unknown to this release")


def _check_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name != "sqlite":
        return
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise RuntimeError(f"the migration would break {len(broken)} references; nothing changed")
