"""The audit log, and rates of single keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
INSTANT = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "audit_log",
        sa.Column("pk", BIG_KEY, autoincrement=True, nullable=False),
        sa.Column("at", INSTANT, nullable=False),
        sa.Column("actor", sa.String(length=8), nullable=False),
        sa.Column("key_id", sa.String(length=32), nullable=True),
        sa.Column("address", sa.String(length=64), nullable=True),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("target", sa.String(length=200), nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        sa.Column("outcome", sa.String(length=8), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.CheckConstraint("actor IN ('key', 'open', 'local')", name=op.f("ck_audit_log_actor")),
        sa.CheckConstraint(
            "outcome IN ('begun', 'ok', 'refused', 'failed')", name=op.f("ck_audit_log_outcome")
        ),
        sa.PrimaryKeyConstraint("pk", name=op.f("pk_audit_log")),
    )
    op.create_index("ix_audit_log_at_pk", "audit_log", ["at", "pk"])
    op.create_index("ix_audit_log_target", "audit_log", ["target"])
    op.add_column(
        "api_keys",
        sa.Column("rate_factor", sa.Float(), server_default=sa.text("1"), nullable=False),
    )
    op.add_column(
        "api_keys",
        sa.Column("per_address", sa.Boolean(), server_default=sa.false(), nullable=False),
    )


def downgrade() -> None:
    op.drop_column("api_keys", "per_address")
    op.drop_column("api_keys", "rate_factor")
    op.drop_index("ix_audit_log_target", "audit_log")
    op.drop_index("ix_audit_log_at_pk", "audit_log")
    op.drop_table("audit_log")
