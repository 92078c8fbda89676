"""Keeping an index equal to its truth: applying changes, proving equality, repairing.

Legend: N vectors, E embedding width.

A truth is given as batches of (ids [N], vectors [N, E]), each id once. An index that moves while it
is compared gives a report about nothing, so callers hold off their own changes meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from indexer.base import Ids, VectorIndex, Vectors, checked_ids, no_ids, no_vectors

Truth = Iterable[tuple[Ids, Vectors]]

# Vectors written to an index at once: each removal scans a flat index.
_BATCH_VECTORS = 4_096
# Half precision keeps 11 bits of values up to 1.
_TOLERANCE = 1e-3


class ChangeOp(StrEnum):
    """What a change does with its ids."""

    UPSERT = "upsert"
    REMOVE = "remove"


@dataclass(frozen=True, eq=False)
class Change:
    """One numbered change of the truth; `vectors` [N, E] come with an upsert only."""

    seq: int
    op: ChangeOp
    ids: Ids
    vectors: Vectors | None = None


@dataclass(frozen=True)
class ApplyReport:
    """Changes that took effect, and those that had been applied before."""

    applied: int
    skipped: int


@dataclass(frozen=True, eq=False)
class VerifyReport:
    """How an index differs from its truth; the ids of each kind, ascending.

    `missing` are in the truth only, `extra` in the index only, `different` hold another vector.
    """

    checked: int
    applied_seq: int
    missing: Ids = field(default_factory=no_ids)
    extra: Ids = field(default_factory=no_ids)
    different: Ids = field(default_factory=no_ids)

    @property
    def is_equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.missing.size or self.extra.size or self.different.size)


def apply(index: VectorIndex, changes: Iterable[Change]) -> ApplyReport:
    """Apply numbered changes in order; those that the index has seen are skipped.

    Changes are merged into few writes, each of which readers see as a whole. May be repeated after
    a failure, and may run in two threads at once. Raises ValueError when the numbers do not rise
    or an upsert has no vectors; what was not written by then is applied when it comes again.
    """
    applied = skipped = 0
    pending = _Pending()
    last_seq = -1
    for change in changes:
        if change.seq <= last_seq:
            raise ValueError("change numbers must rise")
        last_seq = change.seq
        if change.seq <= index.applied_seq:
            skipped += 1
            continue
        pending.add(change)
        applied += 1
        if pending.size >= _BATCH_VECTORS:
            pending.write(index)
            pending = _Pending()
    pending.write(index)
    return ApplyReport(applied, skipped)


def verify(index: VectorIndex, truth: Truth) -> VerifyReport:
    """Compare an index with its truth, vector by vector."""
    applied_seq = index.applied_seq
    held = index.ids()
    seen: list[Ids] = [no_ids()]
    missing: list[Ids] = [no_ids()]
    different: list[Ids] = [no_ids()]
    for ids, vectors in truth:
        is_held = index.contains(ids)
        seen.append(ids)
        missing.append(ids[~is_held])
        off = np.abs(index.vectors(ids[is_held]) - vectors[is_held]).max(axis=1, initial=0.0)
        different.append(ids[is_held][off > _TOLERANCE])
    truth_ids = np.concatenate(seen)
    return VerifyReport(
        checked=truth_ids.size,
        applied_seq=applied_seq,
        missing=np.sort(np.concatenate(missing)),
        extra=np.setdiff1d(held, truth_ids),
        different=np.sort(np.concatenate(different)),
    )


def repair(index: VectorIndex, truth: Truth, report: VerifyReport) -> int:
    """Make the index equal to its truth where a report says that it is not; returns ids changed.

    `truth` is read again. Ids of the report that have left the truth since are removed.
    """
    wrong = np.union1d(report.missing, report.different)
    unfound = set(wrong.tolist())
    for ids, vectors in truth:
        chosen = np.isin(ids, wrong)
        if chosen.any():
            index.upsert(ids[chosen], vectors[chosen])
            unfound.difference_update(ids[chosen].tolist())
    gone = np.union1d(report.extra, np.array(sorted(unfound), dtype=np.int64))
    index.remove(gone)
    return int(wrong.size + report.extra.size)


class _Pending:
    """Changes merged by id: the last one of an id wins."""

    def __init__(self) -> None:
        self._vectors: dict[int, Vectors | None] = {}
        self._seq: int | None = None

    @property
    def size(self) -> int:
        return len(self._vectors)

    def add(self, change: Change) -> None:
        ids = checked_ids(change.ids)
        self._vectors.update(zip(ids.tolist(), _rows(change, ids.size), strict=True))
        self._seq = change.seq

    def write(self, index: VectorIndex) -> None:
        if self._seq is None:
            return
        kept = {one: row for one, row in self._vectors.items() if row is not None}
        index.update(
            remove=np.array([one for one in self._vectors if one not in kept], dtype=np.int64),
            ids=np.array(list(kept), dtype=np.int64),
            vectors=np.stack(list(kept.values())) if kept else no_vectors(index.dim),
            seq=self._seq,
        )


def _rows(change: Change, count: int) -> Iterator[Vectors | None]:
    if change.op is ChangeOp.REMOVE:
        return iter([None] * count)
    if change.vectors is None or len(change.vectors) != count:
        raise ValueError("an upsert needs a vector for each id")
    return iter(change.vectors)
