"""Initial schema: tracks, their clips and vectors, jobs, the index log, keys, shared values."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

# A revision spells out its types: it must keep its meaning when the service's own ones change.
BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "api_keys",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("key_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", JSON_OBJECT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("expires_at", INSTANT, nullable=True),
        sa.Column("last_used_at", INSTANT, nullable=True),
        sa.Column("revoked_at", INSTANT, nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_keys")),
        sa.UniqueConstraint("key_sha256", name=op.f("uq_api_keys_key_sha256")),
    )
    op.create_table(
        "index_changes",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("op", sa.String(length=8), nullable=False),
        sa.Column("track_pk", sa.BigInteger(), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint("op IN ('publish', 'delete')", name=op.f("ck_index_changes_op")),
        sa.PrimaryKeyConstraint("seq", name=op.f("pk_index_changes")),
    )
    op.create_table(
        "service_state",
        sa.Column("key", sa.String(length=64), nullable=False),
        sa.Column("value", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_service_state")),
    )
    op.create_table(
        "tracks",
        sa.Column("pk", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("filename", sa.String(length=255), nullable=False),
        sa.Column("media_type", sa.String(length=100), nullable=False),
        sa.Column("format", sa.String(length=50), nullable=True),
        sa.Column("codec", sa.String(length=50), nullable=True),
        sa.Column("sample_rate_hz", sa.Integer(), nullable=True),
        sa.Column("channels", sa.Integer(), nullable=True),
        sa.Column("duration_s", sa.Float(), nullable=True),
        sa.Column("analysed_s", sa.Float(), nullable=True),
        sa.Column("title", sa.String(length=500), nullable=True),
        sa.Column("artist", sa.String(length=500), nullable=True),
        sa.Column("album", sa.String(length=500), nullable=True),
        sa.Column("genre", sa.String(length=200), nullable=True),
        sa.Column("year", sa.Integer(), nullable=True),
        sa.Column("licence", sa.String(length=200), nullable=True),
        sa.Column("attribution", sa.String(length=1000), nullable=True),
        sa.Column("extra", JSON_OBJECT, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("warnings", JSON_OBJECT, nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=True),
        sa.Column("added_at", INSTANT, nullable=False),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("state IN ('pending', 'ready', 'failed')", name=op.f("ck_tracks_state")),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_tracks")),
        sa.UniqueConstraint("id", name=op.f("uq_tracks_id")),
        sa.UniqueConstraint("sha256", name=op.f("uq_tracks_sha256")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_tracks_added_at_pk", "tracks", ["added_at", "pk"])
    op.create_index("ix_tracks_state", "tracks", ["state"])

    op.create_table(
        "clips",
        sa.Column("track_pk", BIG_KEY, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("start_s", sa.Float(), nullable=False),
        sa.Column("end_s", sa.Float(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["track_pk"], ["tracks.pk"], name=op.f("fk_clips_track_pk_tracks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("track_pk", "model_id", "position", name=op.f("pk_clips")),
    )
    op.create_table(
        "jobs",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("kind", sa.String(length=32), nullable=False),
        sa.Column("track_pk", BIG_KEY, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("run_at", INSTANT, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("progress", sa.Float(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("started_at", INSTANT, nullable=True),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'done', 'failed', 'cancelled')",
            name=op.f("ck_jobs_state"),
        ),
        sa.ForeignKeyConstraint(
            ["track_pk"], ["tracks.pk"], name=op.f("fk_jobs_track_pk_tracks"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
        sa.UniqueConstraint(
            "kind", "track_pk", "model_id", name=op.f("uq_jobs_kind_track_pk_model_id")
        ),
    )
    op.create_index("ix_jobs_claim", "jobs", ["state", "priority", "run_at"])
    op.create_index("ix_jobs_created_at_id", "jobs", ["created_at", "id"])
    op.create_index("ix_jobs_track_pk", "jobs", ["track_pk"])
    op.create_index("ix_jobs_updated_at", "jobs", ["updated_at"])

    op.create_table(
        "track_vectors",
        sa.Column("track_pk", BIG_KEY, nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("clip_count", sa.Integer(), nullable=False),
        sa.Column("vector", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["track_pk"],
            ["tracks.pk"],
            name=op.f("fk_track_vectors_track_pk_tracks"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("track_pk", "model_id", name=op.f("pk_track_vectors")),
    )


def downgrade() -> None:
    op.drop_table("track_vectors")
    op.drop_index("ix_jobs_updated_at", "jobs")
    op.drop_index("ix_jobs_track_pk", "jobs")
    op.drop_index("ix_jobs_created_at_id", "jobs")
    op.drop_index("ix_jobs_claim", "jobs")

    op.drop_table("jobs")
    op.drop_table("clips")
    op.drop_index("ix_tracks_state", "tracks")
    op.drop_index("ix_tracks_added_at_pk", "tracks")

    op.drop_table("tracks")
    op.drop_table("service_state")
    op.drop_table("index_changes")
    op.drop_table("api_keys")
