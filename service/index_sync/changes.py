"""The log that indexes replay: numbered in commit order, never purged.

On PostgreSQL two overlapping transactions may commit in the other order than they took numbers;
a reader that had seen the higher one would never look for the lower. So a number is taken under a
lock that is held until after the commit: when seq n is visible, so is every smaller one.
"""

from __future__ import annotations

from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from service.database.engine import LockSpace, lock_until_commit
from service.database.tables import IndexChange

ChangeOp = Literal["publish", "delete"]


def append_change(session: Session, op: ChangeOp, track_pk: int, model_id: str | None) -> int:
    """Number a change and add it to the transaction; `model_id` None means every model.

    Call this last, shortly before the commit: all other publishers wait from here on.
    """
    lock_until_commit(session, LockSpace.INDEX_CHANGES)
    seq = latest_seq(session) + 1
    session.add(IndexChange(seq=seq, op=op, track_pk=track_pk, model_id=model_id))
    session.flush()
    return seq


def latest_seq(session: Session) -> int:
    """The highest number given so far, 0 before the first."""
    return session.scalar(select(func.coalesce(func.max(IndexChange.seq), 0))) or 0


def list_changes(
    session: Session, model_id: str, *, after_seq: int, limit: int
) -> list[IndexChange]:
    """The next changes that concern this model, in order."""
    concerned = (IndexChange.model_id == model_id) | IndexChange.model_id.is_(None)
    query = (
        select(IndexChange)
        .where(IndexChange.seq > after_seq, concerned)
        .order_by(IndexChange.seq)
        .limit(limit)
    )
    return list(session.scalars(query))
