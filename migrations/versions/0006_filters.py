"""What filters and facets read: names folded beside the names, the values of `extra` as rows."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from service.database.extra_values import extra_values
from service.database.folding import folded_key

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
NAMES = ("title", "artist", "album", "genre")
BATCH = 1_000


def by_code_point(chars: int) -> sa.types.TypeEngine[str]:
    return sa.String(chars).with_variant(postgresql.VARCHAR(chars, collation="C"), "postgresql")


def upgrade() -> None:
    for name in NAMES:
        op.add_column("tracks", sa.Column(f"{name}_key", by_code_point(120), nullable=True))
    op.create_table(
        "track_extra",
        sa.Column("track_pk", BIG_KEY, nullable=False),
        sa.Column("key", by_code_point(100), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=8), nullable=False),
        sa.Column("text", sa.String(length=500), nullable=True),
        sa.Column("text_key", by_code_point(120), nullable=True),
        sa.Column("number", sa.Float(), nullable=True),
        sa.CheckConstraint(
            "kind IN ('text', 'number', 'boolean', 'object')", name=op.f("ck_track_extra_kind")
        ),
        sa.ForeignKeyConstraint(
            ["track_pk"],
            ["tracks.pk"],
            name=op.f("fk_track_extra_track_pk_tracks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("track_pk", "key", "position", name=op.f("pk_track_extra")),
        sqlite_with_rowid=False,
    )
    _fill(op.get_bind())
    op.create_index("ix_track_extra_text", "track_extra", ["key", "kind", "text_key", "track_pk"])
    op.create_index("ix_track_extra_number", "track_extra", ["key", "kind", "number", "track_pk"])
    for name in ("artist_key", "album_key", "genre_key"):
        op.create_index(f"ix_tracks_{name}_pk", "tracks", [name, "pk"])
    op.create_index(
        "ix_tracks_filter",
        "tracks",
        ["state", "genre_key", "artist_key", "album_key", "year", "duration_s", "added_at"],
    )


def downgrade() -> None:
    op.drop_index("ix_tracks_filter", "tracks")
    for name in ("artist_key", "album_key", "genre_key"):
        op.drop_index(f"ix_tracks_{name}_pk", "tracks")
    op.drop_index("ix_track_extra_number", "track_extra")
    op.drop_index("ix_track_extra_text", "track_extra")
    op.drop_table("track_extra")
    with op.batch_alter_table("tracks") as batch:
        for name in NAMES:
            batch.drop_column(f"{name}_key")


def _fill(connection: sa.Connection) -> None:
    """Fold the names and spread the `extra` of the tracks that are there."""
    tracks = sa.table(
        "tracks",
        sa.column("pk", BIG_KEY),
        sa.column("extra", JSON_OBJECT),
        *(sa.column(name, sa.String()) for name in NAMES),
        *(sa.column(f"{name}_key", sa.String()) for name in NAMES),
    )
    values = sa.table(
        "track_extra",
        *(
            sa.column(name)
            for name in ("track_pk", "key", "position", "kind", "text", "text_key", "number")
        ),
    )
    set_keys = (
        tracks.update()
        .where(tracks.c.pk == sa.bindparam("of_pk"))
        .values({f"{name}_key": sa.bindparam(f"new_{name}") for name in NAMES})
    )
    last = -1
    while True:
        page = tracks.select().where(tracks.c.pk > last).order_by(tracks.c.pk).limit(BATCH)
        rows = connection.execute(page).all()
        if not rows:
            return
        last = rows[-1].pk
        connection.execute(
            set_keys,
            [
                {"of_pk": row.pk}
                | {f"new_{name}": folded_key(getattr(row, name)) for name in NAMES}
                for row in rows
            ],
        )
        found = [
            {"track_pk": row.pk, **vars(value), "kind": value.kind.value}
            for row in rows
            for value in extra_values(row.extra or {})
        ]
        if found:
            connection.execute(values.insert(), found)
