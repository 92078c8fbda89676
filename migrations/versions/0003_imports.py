"""Batches with their files and webhooks, jobs that are held back, embeddings that wait."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)
JSON_OBJECT = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.add_column(
        "jobs", sa.Column("held", sa.Boolean(), server_default=sa.false(), nullable=False)
    )
    op.drop_index("ix_jobs_claim", "jobs")
    op.create_index("ix_jobs_claim", "jobs", ["state", "held", "priority", "run_at"])
    _create_imports()
    _create_items()
    _create_deliveries()
    op.create_table(
        "waiting_embeddings",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("model_id", sa.String(length=64), nullable=False),
        sa.Column("clip_count", sa.Integer(), nullable=False),
        sa.Column("starts_s", sa.LargeBinary(), nullable=False),
        sa.Column("ends_s", sa.LargeBinary(), nullable=False),
        sa.Column("vectors", sa.LargeBinary(), nullable=False),
        sa.Column("peaks", sa.LargeBinary(), nullable=False),
        sa.Column("analysed_s", sa.Float(), nullable=False),
        sa.Column("warnings", JSON_OBJECT, nullable=False),
        sa.Column("track_values", JSON_OBJECT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.PrimaryKeyConstraint("sha256", "model_id", name=op.f("pk_waiting_embeddings")),
    )


def _create_imports() -> None:
    op.create_table(
        "imports",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("source", sa.String(length=16), nullable=False),
        sa.Column("name", sa.String(length=200), nullable=True),
        sa.Column("reference", sa.String(length=100), nullable=True),
        sa.Column("folder", sa.Text(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("ignored_files", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("webhook_url", sa.Text(), nullable=True),
        sa.Column("webhook_secret", sa.String(length=200), nullable=True),
        sa.Column("owner", sa.String(length=64), nullable=True),
        sa.Column("lease_until", INSTANT, nullable=True),
        sa.Column("active_s", sa.Float(), nullable=False),
        sa.Column("resumed_at", INSTANT, nullable=False),
        sa.Column("listed_at", INSTANT, nullable=True),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.Column("finished_at", INSTANT, nullable=True),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint("source IN ('folder', 'upload')", name=op.f("ck_imports_source")),
        sa.CheckConstraint(
            "state IN ('running', 'paused', 'done', 'cancelled')", name=op.f("ck_imports_state")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_imports")),
    )
    op.create_index("ix_imports_created_at_id", "imports", ["created_at", "id"])
    op.create_index("ix_imports_reference", "imports", ["reference"])
    op.create_index("ix_imports_state", "imports", ["state"])
    op.create_index("ix_imports_updated_at", "imports", ["updated_at"])


def _create_items() -> None:
    op.create_table(
        "import_items",
        sa.Column("pk", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("import_id", sa.String(length=32), nullable=False),
        sa.Column("item_key", sa.String(length=64), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("path_bytes", sa.LargeBinary(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=True),
        sa.Column("duration_s", sa.Float(), nullable=True),
        sa.Column("track_pk", BIG_KEY, nullable=True),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.Text(), nullable=True),
        sa.Column("ended_at", INSTANT, nullable=True),
        sa.Column("updated_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "state IN ('waiting', 'queued', 'done', 'duplicate', 'failed', 'cancelled')",
            name=op.f("ck_import_items_state"),
        ),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["imports.id"],
            name=op.f("fk_import_items_import_id_imports"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["track_pk"],
            ["tracks.pk"],
            name=op.f("fk_import_items_track_pk_tracks"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_import_items")),
        sa.UniqueConstraint(
            "import_id", "item_key", name=op.f("uq_import_items_import_id_item_key")
        ),
    )
    op.create_index(
        "ix_import_items_state",
        "import_items",
        ["import_id", "state", "pk", "size_bytes", "duration_s"],
    )
    op.create_index("ix_import_items_ended_at", "import_items", ["import_id", "ended_at"])
    op.create_index("ix_import_items_track_pk", "import_items", ["track_pk"])
    op.create_index("ix_import_items_updated_at", "import_items", ["updated_at"])


def _create_deliveries() -> None:
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", sa.String(length=32), nullable=False),
        sa.Column("import_id", sa.String(length=32), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("next_at", INSTANT, nullable=False),
        sa.Column("log", JSON_OBJECT, nullable=False),
        sa.Column("created_at", INSTANT, nullable=False),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'failed')", name=op.f("ck_webhook_deliveries_state")
        ),
        sa.ForeignKeyConstraint(
            ["import_id"],
            ["imports.id"],
            name=op.f("fk_webhook_deliveries_import_id_imports"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
    )
    op.create_index("ix_webhook_deliveries_due", "webhook_deliveries", ["state", "next_at"])
    op.create_index("ix_webhook_deliveries_import_id", "webhook_deliveries", ["import_id"])


def downgrade() -> None:
    op.drop_table("waiting_embeddings")
    op.drop_index("ix_webhook_deliveries_import_id", "webhook_deliveries")
    op.drop_index("ix_webhook_deliveries_due", "webhook_deliveries")
    op.drop_table("webhook_deliveries")
    for name in ("updated_at", "track_pk", "ended_at", "state"):
        op.drop_index(f"ix_import_items_{name}", "import_items")
    op.drop_table("import_items")
    for name in ("updated_at", "state", "reference", "created_at_id"):
        op.drop_index(f"ix_imports_{name}", "imports")
    op.drop_table("imports")
    op.drop_index("ix_jobs_claim", "jobs")
    op.create_index("ix_jobs_claim", "jobs", ["state", "priority", "run_at"])
    with op.batch_alter_table("jobs") as batch:
        batch.drop_column("held")
