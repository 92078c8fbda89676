"""Applying changes, proving equality, repairing."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from indexer.errors import InvalidVectors
from indexer.sync import Change, ChangeOp, apply, repair, verify
from tests.indexer.helpers import DIM, int64, make_index, unit_vectors, vector_of


def upsert(seq: int, *ids: int) -> Change:
    vectors = np.array([vector_of(1_000 * seq + one) for one in ids], dtype=np.float32)
    return Change(seq, ChangeOp.UPSERT, int64(*ids), vectors.reshape(-1, DIM))


def remove(seq: int, *ids: int) -> Change:
    return Change(seq, ChangeOp.REMOVE, int64(*ids))


def test_changes_apply_in_order_and_once() -> None:
    index = make_index()
    log = [upsert(1, 1, 2), upsert(3, 2, 3), remove(4, 1), upsert(6, 1), remove(7, 3)]
    report = apply(index, log)
    assert (report.applied, report.skipped) == (5, 0)
    assert index.ids().tolist() == [1, 2]
    assert index.applied_seq == 7
    np.testing.assert_allclose(index.vectors(int64(1))[0], vector_of(6_001), atol=1e-6)
    np.testing.assert_allclose(index.vectors(int64(2))[0], vector_of(3_002), atol=1e-6)
    again = apply(index, log)
    assert (again.applied, again.skipped) == (0, 5)


def test_a_log_that_overlaps_what_was_seen_adds_the_rest_only() -> None:
    index = make_index()
    apply(index, [upsert(1, 1), upsert(2, 2)])
    report = apply(index, [remove(2, 1), upsert(5, 3)])
    assert (report.applied, report.skipped) == (1, 1)
    assert index.ids().tolist() == [1, 2, 3]


def test_a_change_of_nothing_moves_the_sequence() -> None:
    index = make_index()
    apply(index, [upsert(4)])
    assert (index.count, index.applied_seq) == (0, 4)
    assert apply(index, []).applied == 0


def test_many_changes_are_written_in_batches_that_end_right() -> None:
    index = make_index()
    log = [
        Change(s, ChangeOp.UPSERT, np.arange(30) + 30 * s, unit_vectors(30)) for s in range(1, 400)
    ]
    log.append(remove(400, *range(30, 6_000)))
    apply(index, log)
    assert index.ids().tolist() == list(range(6_000, 12_000))


@pytest.mark.parametrize("seqs", [(2, 1), (2, 2)])
def test_numbers_that_do_not_rise_are_refused(seqs: tuple[int, int]) -> None:
    index = make_index()
    with pytest.raises(ValueError, match="must rise"):
        apply(index, [upsert(seqs[0], 1), upsert(seqs[1], 2)])
    assert index.applied_seq == 0


def test_an_upsert_without_its_vectors_is_refused() -> None:
    for vectors in (None, unit_vectors(1)):
        index = make_index()
        with pytest.raises(ValueError, match="vector for each id"):
            apply(index, [upsert(1, 1), Change(2, ChangeOp.UPSERT, int64(2, 3), vectors)])
        assert apply(index, [upsert(1, 1)]).applied == 1


def test_a_change_that_fails_is_not_counted_as_seen() -> None:
    index = make_index()
    broken = Change(2, ChangeOp.UPSERT, int64(5), np.full((1, DIM), np.nan, np.float32))
    with pytest.raises(InvalidVectors):
        apply(index, [upsert(1, 1), broken])
    assert (index.count, index.applied_seq) == (0, 0)
    apply(index, [upsert(1, 1), upsert(2, 5)])
    assert index.ids().tolist() == [1, 5]


def test_two_threads_may_replay_the_same_log() -> None:
    index = make_index()
    log = [upsert(seq, seq % 20, 100 + seq) for seq in range(1, 300)]
    log += [remove(300 + one, one) for one in range(1, 10)]
    threads = [
        threading.Thread(target=lambda: [apply(index, log[i : i + 7]) for i in range(0, 308, 7)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    alone = make_index()
    apply(alone, log)
    assert index.applied_seq == alone.applied_seq == 309
    assert verify(index, [(alone.ids(), alone.vectors(alone.ids()))]).is_equal


def truth(*ids: int, width: int = 2) -> list[tuple[np.ndarray, np.ndarray]]:
    batches = [ids[i : i + width] for i in range(0, len(ids), width)]
    return [(int64(*batch), np.stack([vector_of(one) for one in batch])) for batch in batches]


def test_equal_indexes_verify() -> None:
    index = make_index()
    assert verify(index, []).is_equal
    for ids, vectors in truth(5, 1, 9):
        index.upsert(ids, vectors)
    report = verify(index, truth(9, 5, 1))
    assert report.is_equal
    assert report.checked == 3


def test_each_kind_of_difference_is_named_and_repaired() -> None:
    index = make_index()
    for ids, vectors in truth(1, 2, 3, 4, 5):
        index.upsert(ids, vectors, seq=index.applied_seq + 1)
    seq = index.applied_seq
    index.remove(int64(1))
    index.upsert(int64(2, 77), np.stack([vector_of(500), vector_of(77)]))
    report = verify(index, truth(1, 2, 3, 4, 5))
    assert not report.is_equal
    assert report.missing.tolist() == [1]
    assert report.different.tolist() == [2]
    assert report.extra.tolist() == [77]
    assert report.applied_seq == seq
    assert repair(index, truth(1, 2, 3, 4, 5), report) == 3
    assert verify(index, truth(1, 2, 3, 4, 5)).is_equal
    assert index.applied_seq == seq


def test_one_changed_component_is_a_difference() -> None:
    index = make_index()
    (ids, vectors), *_ = truth(1)
    index.upsert(ids, vectors)
    changed = vectors.copy()
    changed[0, 3] += 0.01
    assert verify(index, [(ids, changed)]).different.tolist() == [1]


def test_an_index_without_its_truth_is_all_extra_and_the_reverse() -> None:
    index = make_index()
    index.upsert(int64(1, 2), unit_vectors(2))
    assert verify(index, []).extra.tolist() == [1, 2]
    assert verify(make_index(), truth(4, 3)).missing.tolist() == [3, 4]


def test_an_id_that_left_the_truth_before_the_repair_is_not_brought_back() -> None:
    index = make_index()
    report = verify(index, truth(1, 2))
    repair(index, truth(2), report)
    assert index.ids().tolist() == [2]
