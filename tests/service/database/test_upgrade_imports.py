"""Jobs of an older database go on after the upgrade that lets jobs be held."""

from __future__ import annotations

from pathlib import Path

import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.migrate import downgrade, migrate


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def older_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A database as the release before had it, with a queued job."""
    url: str = f"sqlite:///{tmp_path / 'older.sqlite3'}"
    if request.param == "postgresql":
        url = request.getfixturevalue("empty_postgres_url")
    migrate(url, "0002")
    database = Database(url)
    with database.write() as session:
        session.execute(
            sa.text(
                "INSERT INTO tracks (pk, id, sha256, size_bytes, filename, media_type, extra,"
                " state, warnings, added_at, updated_at) VALUES (1, 't', 's', 1, 'a.mp3', 'a/b',"
                " '{}', 'pending', '[]', '2026-01-01 00:00:00+00:00', '2026-01-01 00:00:00+00:00')"
            )
        )
        session.execute(
            sa.text(
                "INSERT INTO jobs (id, kind, track_pk, model_id, state, priority, run_at, attempts,"
                " max_attempts, progress, created_at, updated_at) VALUES ('j', 'embed', 1, 'm',"
                " 'queued', 0, '2026-01-01 00:00:00+00:00', 0, 3, 0, '2026-01-01 00:00:00+00:00',"
                " '2026-01-01 00:00:00+00:00')"
            )
        )
    database.dispose()
    return url


def test_an_old_job_is_not_held(older_url: str) -> None:
    for move, revision in ((migrate, "0003"), (downgrade, "0002"), (migrate, "0003")):
        move(older_url, revision)
        database = Database(older_url)
        with database.read() as session:
            assert session.execute(sa.text("SELECT id, track_pk FROM jobs")).all() == [("j", 1)]
            if revision == "0003":
                held = session.execute(sa.text("SELECT held FROM jobs")).scalar_one()
                assert bool(held) is False
        database.dispose()
