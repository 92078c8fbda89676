"""Jobs about the whole library have no track."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("jobs") as batch:
        batch.alter_column("track_pk", existing_type=BIG_KEY, nullable=True)
    where = sa.text("track_pk IS NULL")
    op.create_index(
        "uq_jobs_library",
        "jobs",
        ["kind", "model_id"],
        unique=True,
        sqlite_where=where,
        postgresql_where=where,
    )


def downgrade() -> None:
    op.drop_index("uq_jobs_library", "jobs")
    op.execute("DELETE FROM jobs WHERE track_pk IS NULL")
    with op.batch_alter_table("jobs") as batch:
        batch.alter_column("track_pk", existing_type=BIG_KEY, nullable=False)
