"""The migrations give exactly the tables' schema, up and down, with rows in them."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from service.database.base import is_mapped
from service.database.engine import Database
from service.database.migrate import (
    DatabaseTooNew,
    current_revision,
    downgrade,
    head_revision,
    migrate,
)
from service.database.tables import Base, Clip, Track, TrackVector
from tests.support.rows import new_track


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def bare_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database in which no migration has run."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'bare.sqlite3'}"
    url: str = request.getfixturevalue("empty_postgres_url")
    return url


def test_schema_equals_migrations(database: Database) -> None:
    with database.engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"compare_server_default": True, "include_name": is_mapped}
        )
        assert compare_metadata(context, Base.metadata) == []


def test_the_comparison_would_see_a_difference(database: Database) -> None:
    changed = sa.MetaData()
    for table in Base.metadata.tables.values():
        table.to_metadata(changed)
    changed.tables["tracks"].append_column(sa.Column("mood", sa.String(10)))
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"include_name": is_mapped})
        assert [entry[0] for entry in compare_metadata(context, changed)] == ["add_column"]


def test_checks_and_cascades_are_in_the_database_itself(database: Database) -> None:
    with database.write() as session:
        track = new_track(session)
        session.add(_clip(track))
        session.add(TrackVector(track_pk=track.pk, model_id="m", clip_count=1, vector=b"v"))
    for broken in ("UPDATE tracks SET state = 'odd'", "UPDATE clips SET track_pk = 99"):
        with pytest.raises(sa.exc.IntegrityError), database.write() as session:
            session.execute(sa.text(broken))
    with database.write() as session:
        session.execute(sa.text("DELETE FROM tracks"))
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Clip)) == 0
        assert session.scalar(sa.select(sa.func.count()).select_from(TrackVector)) == 0


def test_up_down_up(bare_url: str) -> None:
    assert current_revision(bare_url) is None
    assert migrate(bare_url) == head_revision()
    database = Database(bare_url)
    with database.write() as session:
        session.add(_clip(new_track(session)))
    assert migrate(bare_url) == head_revision(), "a second run changes nothing"
    with database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Clip)) == 1
    database.dispose()
    assert downgrade(bare_url, "base") == "base"
    engine = sa.create_engine(bare_url)
    assert sa.inspect(engine).get_table_names() == ["alembic_version"]
    engine.dispose()
    assert migrate(bare_url) == head_revision()


def test_rebuilding_a_parent_keeps_its_children(sqlite_url: str) -> None:
    """What every later migration that alters a table relies on: see service/database/migrate.py."""
    from alembic.operations import Operations
    from sqlalchemy.pool import NullPool

    from service.database.engine import normalised_url, open_engine, writing_connection

    database = Database(sqlite_url)
    with database.write() as session:
        session.add(_clip(new_track(session)))
    database.dispose()

    def children_after(*, foreign_keys: bool) -> int:
        engine = open_engine(
            normalised_url(sqlite_url), foreign_keys=foreign_keys, poolclass=NullPool
        )
        with writing_connection(engine) as connection:
            operations = Operations(MigrationContext.configure(connection))
            with operations.batch_alter_table("tracks", recreate="always") as batch:
                batch.alter_column("filename", type_=sa.String(300))
            return int(connection.exec_driver_sql("SELECT count(*) FROM clips").scalar_one())

    assert children_after(foreign_keys=False) == 1
    assert children_after(foreign_keys=True) == 0, "the trap is gone: this test can be too"


def test_processes_that_start_together_migrate_once(bare_url: str) -> None:
    reached: list[str] = []
    threads = [threading.Thread(target=lambda: reached.append(migrate(bare_url))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reached == [head_revision()] * 4


def test_a_newer_database_is_refused(bare_url: str) -> None:
    migrate(bare_url)
    database = Database(bare_url)
    with database.write() as session:
        session.execute(sa.text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(DatabaseTooNew):
        migrate(bare_url)
    database.dispose()


def _clip(track: Track) -> Clip:
    return Clip(
        track_pk=track.pk, model_id="m", position=0, start_s=0.0, end_s=10.0, vector=b"\0" * 4
    )
