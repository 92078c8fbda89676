"""Label vocabularies, and the tags of tracks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "vocabularies",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("content", JSON_OBJECT, nullable=False),
        sa.Column("is_current", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("is_default", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_vocabularies")),
    )
    for index, column, where in (
        ("uq_vocabularies_current", "name", sa.text("is_current")),
        ("uq_vocabularies_default", "is_default", sa.text("is_default")),
    ):
        op.create_index(
            index,
            "vocabularies",
            [column],
            unique=True,
            sqlite_where=where,
            postgresql_where=where,
        )
    op.create_table(
        "tag_labels",
        sa.Column("pk", sa.Integer(), autoincrement=True, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("vocabulary", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("group_name", sa.String(length=64), nullable=False),
        sa.Column("label", sa.String(length=200), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_tag_labels")),
        sa.UniqueConstraint(
            "model_id",
            "vocabulary",
            "group_name",
            "label",
            "version",
            name=op.f("uq_tag_labels_model_id_vocabulary_group_name_label_version"),
        ),
    )
    op.create_table(
        "tag_values",
        sa.Column("track_pk", BIG_KEY, nullable=False),
        sa.Column("label_pk", sa.Integer(), nullable=False),
        sa.Column("score", sa.REAL(), nullable=False),
        sa.Column("relevance", sa.REAL(), nullable=True),
        sa.Column("probability", sa.REAL(), nullable=True),
        sa.Column("assigned", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(
            ["label_pk"],
            ["tag_labels.pk"],
            name=op.f("fk_tag_values_label_pk_tag_labels"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["track_pk"],
            ["tracks.pk"],
            name=op.f("fk_tag_values_track_pk_tracks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("track_pk", "label_pk", name=op.f("pk_tag_values")),
        sqlite_with_rowid=False,
    )
    op.create_index(
        "ix_tag_values_label", "tag_values", ["label_pk", "assigned", "probability", "track_pk"]
    )
    op.create_table(
        "track_taggings",
        sa.Column("track_pk", BIG_KEY, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("vocabulary", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("recipe", sa.String(length=64), nullable=False),
        sa.Column("tagged_at", INSTANT, nullable=False),
        sa.ForeignKeyConstraint(
            ["track_pk"],
            ["tracks.pk"],
            name=op.f("fk_track_taggings_track_pk_tracks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("track_pk", "model_id", name=op.f("pk_track_taggings")),
    )
    op.create_index("ix_track_taggings_recipe", "track_taggings", ["model_id", "recipe"])


def downgrade() -> None:
    op.drop_index("ix_track_taggings_recipe", "track_taggings")
    op.drop_table("track_taggings")
    op.drop_index("ix_tag_values_label", "tag_values")
    op.drop_table("tag_values")
    op.drop_table("tag_labels")
    op.drop_index("uq_vocabularies_default", "vocabularies")
    op.drop_index("uq_vocabularies_current", "vocabularies")
    op.drop_table("vocabularies")
