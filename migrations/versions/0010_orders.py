"""Indexes for what a large library sorts and counts by: titles, years, lengths, clips of tracks."""

from __future__ import annotations

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

TRACK_COLUMNS = ("title_key", "year", "duration_s")
CLIP_COUNTS = "ix_track_vectors_clip_count"


def upgrade() -> None:
    for name in TRACK_COLUMNS:
        op.create_index(f"ix_tracks_{name}_pk", "tracks", [name, "pk"])
    op.create_index(CLIP_COUNTS, "track_vectors", ["model_id", "track_pk", "clip_count"])


def downgrade() -> None:
    op.drop_index(CLIP_COUNTS, table_name="track_vectors")
    for name in reversed(TRACK_COLUMNS):
        op.drop_index(f"ix_tracks_{name}_pk", table_name="tracks")
