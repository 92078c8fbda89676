"""Random histories of changes, searches and restarts against a plain dictionary."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from indexer.errors import UnknownIds
from indexer.faiss_index import FaissConfig, FaissIndex
from indexer.snapshot import load_snapshot, save_snapshot
from indexer.sync import Change, ChangeOp, apply, verify
from tests.indexer.helpers import DIM, MODEL_ID, assert_hits, int64, vector_of

ids_drawn = st.lists(st.integers(0, 40), max_size=6, unique=True)
CONFIGS = [
    FaissConfig(),
    FaissConfig(storage="fp32", exact_subset=3),
    FaissConfig(exact_below=10, cells_probed=1_000, exact_subset=3),
]


class IndexHistory(RuleBasedStateMachine):
    """Each rule does the same to the index and to a dictionary."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.stored: dict[int, np.ndarray] = {}
        self.seq = 0

    @initialize(config=st.sampled_from(CONFIGS))
    def start(self, config: FaissConfig) -> None:
        self.config = config
        self.rebuild()

    def teardown(self) -> None:
        self.folder.cleanup()

    def arrays(self) -> tuple[np.ndarray, np.ndarray]:
        vectors = np.array(list(self.stored.values()), dtype=np.float32).reshape(-1, DIM)
        return int64(*self.stored), vectors

    @rule(ids=ids_drawn, number=st.integers(0, 1_000))
    def upsert(self, ids: list[int], number: int) -> None:
        rows = {one: vector_of(number + one) for one in ids}
        self.seq += 1
        vectors = np.array(list(rows.values()), dtype=np.float32).reshape(-1, DIM)
        assert self.index.upsert(int64(*ids), vectors, self.seq)
        self.stored.update(rows)

    @rule(ids=ids_drawn)
    def remove(self, ids: list[int]) -> None:
        self.seq += 1
        assert self.index.remove(int64(*ids), self.seq)
        for one in ids:
            self.stored.pop(one, None)

    @rule(steps=st.lists(st.tuples(st.booleans(), ids_drawn), max_size=6))
    def replay(self, steps: list[tuple[bool, list[int]]]) -> None:
        """A log that begins before what the index has seen."""
        log = [Change(max(self.seq, 1), ChangeOp.REMOVE, int64(*self.stored))]
        if self.seq == 0:
            log = []
        seen = len(log)
        for adds, ids in steps:
            self.seq += 1
            rows = {one: vector_of(self.seq * 50 + one) for one in ids}
            vectors = np.array(list(rows.values()), dtype=np.float32).reshape(-1, DIM)
            op = ChangeOp.UPSERT if adds else ChangeOp.REMOVE
            log.append(Change(self.seq, op, int64(*ids), vectors if adds else None))
            self.stored.update(rows)
            if not adds:
                for one in ids:
                    self.stored.pop(one)
        for _ in range(2):
            report = apply(self.index, log)
            assert report.applied + report.skipped == len(log)
            assert report.skipped == seen
            seen = len(log)

    @rule(ids=ids_drawn)
    def replay_an_old_change(self, ids: list[int]) -> None:
        if self.seq:
            assert not self.index.remove(int64(*ids), self.seq)

    @rule()
    def restart(self) -> None:
        save_snapshot(self.index, Path(self.folder.name))
        self.index = load_snapshot(
            Path(self.folder.name), model_id=MODEL_ID, dim=DIM, config=self.config
        )

    @rule()
    def rebuild(self) -> None:
        self.index = FaissIndex.build(
            [self.arrays()], model_id=MODEL_ID, dim=DIM, seq=self.seq, config=self.config
        )

    @rule(number=st.integers(0, 1_000), k=st.integers(1, 12))
    def search(self, number: int, k: int) -> None:
        queries = np.stack([vector_of(number), vector_of(number + 7)])
        hits = self.index.search(queries, k)
        assert_hits(hits.ids, hits.scores, self.stored, queries, k)

    @rule(number=st.integers(0, 1_000), k=st.integers(1, 12), subset=ids_drawn)
    def search_subset(self, number: int, k: int, subset: list[int]) -> None:
        queries = vector_of(number)[None]
        hits = self.index.search(queries, k, int64(*subset))
        kept = {one: self.stored[one] for one in subset if one in self.stored}
        assert_hits(hits.ids, hits.scores, kept, queries, k)

    @rule(one=st.integers(0, 40))
    def look_up(self, one: int) -> None:
        if one in self.stored:
            np.testing.assert_allclose(
                self.index.vectors(int64(one))[0], self.stored[one], atol=1e-6
            )
            return
        try:
            self.index.vectors(int64(one))
        except UnknownIds:
            return
        raise AssertionError("an unknown id was found")

    @invariant()
    def is_the_dictionary(self) -> None:
        assert self.index.count == len(self.stored)
        assert self.index.applied_seq == self.seq
        assert self.index.ids().tolist() == sorted(self.stored)
        assert verify(self.index, [self.arrays()]).is_equal


IndexHistory.TestCase.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
TestIndexHistory = IndexHistory.TestCase
