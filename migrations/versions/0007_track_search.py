"""The words of tracks, for keyword search."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.keywords.document import document_of

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

BATCH = 1_000
COLUMNS = ("title", "artist", "album", "genre", "tags", "filename", "whole")
LETTERS = "talgkfw"
SOURCES = ("title", "artist", "album", "genre", "filename")


def upgrade() -> None:
    if op.get_context().dialect.name == "sqlite":
        op.execute(
            f"CREATE VIRTUAL TABLE track_search USING fts5({', '.join(COLUMNS)}, prefix='2 3', "
            "tokenize=\"unicode61 remove_diacritics 2 categories 'L* N* M* Co'\")"
        )
    else:
        op.create_table(
            "track_search",
            sa.Column("track_pk", sa.BigInteger(), autoincrement=False, nullable=False),
            sa.Column("document", postgresql.TSVECTOR(), nullable=False),
            sa.ForeignKeyConstraint(
                ["track_pk"],
                ["tracks.pk"],
                name=op.f("fk_track_search_track_pk_tracks"),
                ondelete="CASCADE",
            ),
            sa.PrimaryKeyConstraint("track_pk", name=op.f("pk_track_search")),
        )
        op.create_index(
            "ix_track_search_document", "track_search", ["document"], postgresql_using="gin"
        )
    _fill(op.get_bind())


def downgrade() -> None:
    op.execute("DROP TABLE track_search")


def _fill(connection: sa.Connection) -> None:
    """Store the words of the tracks that are here; none has tags yet."""
    tracks = sa.table("tracks", sa.column("pk"), *map(sa.column, SOURCES))
    if connection.dialect.name == "sqlite":
        insert = (
            "INSERT INTO track_search "
            "(rowid, title, artist, album, genre, tags, filename, whole) "
            "VALUES (:pk, :title, :artist, :album, :genre, :tags, :filename, :whole)"
        )
    else:
        insert = "INSERT INTO track_search VALUES (:pk, array_to_tsvector(CAST(:words AS text[])))"
    after = -1
    while True:
        query = sa.select(tracks).where(tracks.c.pk > after).order_by(tracks.c.pk).limit(BATCH)
        rows = connection.execute(query).all()
        if not rows:
            return
        connection.execute(sa.text(insert), [_values(row._asdict()) for row in rows])
        after = rows[-1].pk


def _values(track: dict[str, Any]) -> dict[str, Any]:
    columns = document_of(track, labels=()).columns()
    words = {
        letter + word
        for letter, name in zip(LETTERS, COLUMNS, strict=True)
        for word in columns[name].split()
    }
    return {"pk": track["pk"], "words": sorted(words), **columns}
