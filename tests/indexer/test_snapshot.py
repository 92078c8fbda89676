"""Snapshots: whole or refused, through damage, mismatch, races and kill -9."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from indexer.errors import SnapshotError, SnapshotFault
from indexer.faiss_index import FaissConfig, FaissIndex
from indexer.snapshot import MANIFEST, load_snapshot, read_manifest, save_snapshot
from indexer.sync import verify
from tests.indexer.crash_writer import state_at
from tests.indexer.helpers import DIM, MODEL_ID, int64, make_index, unit_vectors, vector_of

ROOT = Path(__file__).parents[2]


def saved(folder: Path, count: int = 50, seq: int = 4) -> FaissIndex:
    index = make_index()
    index.upsert(np.arange(count, dtype=np.int64), unit_vectors(count), seq=seq)
    save_snapshot(index, folder)
    return index


def load(folder: Path, model_id: str = MODEL_ID, dim: int = DIM) -> FaissIndex:
    return load_snapshot(folder, model_id=model_id, dim=dim)


def fault_of(folder: Path, model_id: str = MODEL_ID, dim: int = DIM) -> SnapshotFault:
    with pytest.raises(SnapshotError) as error:
        load(folder, model_id, dim)
    return error.value.fault


def edit_manifest(folder: Path, **changes: object) -> None:
    path = folder / MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


@pytest.mark.parametrize("count", [0, 1, 500])
@pytest.mark.parametrize("exact_below", [100, 1_000])
def test_a_loaded_index_is_the_saved_one(count: int, exact_below: int, tmp_path: Path) -> None:
    config = FaissConfig(exact_below=exact_below)
    ids, vectors = np.arange(count, dtype=np.int64) * 3, unit_vectors(count)
    built = FaissIndex.build([(ids, vectors)], model_id=MODEL_ID, dim=DIM, seq=9, config=config)
    manifest = save_snapshot(built, tmp_path)
    assert (manifest.seq, manifest.count, manifest.model_id) == (9, count, MODEL_ID)
    loaded = load_snapshot(tmp_path, model_id=MODEL_ID, dim=DIM, config=config)
    assert (loaded.applied_seq, loaded.kind) == (9, built.kind)
    assert verify(loaded, [(ids, vectors)]).is_equal
    assert loaded.upsert(int64(1), vector_of(1)[None], seq=10)
    assert loaded.remove(int64(0, 1), seq=11)
    queries = unit_vectors(3, seed=8)
    built.remove(int64(0))
    assert np.array_equal(loaded.search(queries, 5).ids, built.search(queries, 5).ids)


def test_a_new_snapshot_replaces_the_old_and_clears_leftovers(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "abc.tmp").write_bytes(b"half")
    (tmp_path / "unrelated.txt").write_bytes(b"mine")
    saved(tmp_path, count=60, seq=7)
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == sorted([".lock", read_manifest(tmp_path).file, MANIFEST, "unrelated.txt"])
    assert load(tmp_path).count == 60


def test_no_snapshot_is_said_so(tmp_path: Path) -> None:
    assert fault_of(tmp_path) == SnapshotFault.MISSING
    assert fault_of(tmp_path / "nowhere") == SnapshotFault.MISSING


def test_another_model_or_width_is_refused(tmp_path: Path) -> None:
    saved(tmp_path)
    assert fault_of(tmp_path, model_id="model-b") == SnapshotFault.MODEL_MISMATCH
    assert fault_of(tmp_path, dim=DIM * 2) == SnapshotFault.DIM_MISMATCH


@pytest.mark.parametrize("seed", range(8))
def test_any_flipped_bit_of_the_data_is_found(seed: int, tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / read_manifest(tmp_path).file
    data = bytearray(path.read_bytes())
    chance = random.Random(seed)
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    assert fault_of(tmp_path) == SnapshotFault.CHECKSUM_MISMATCH


@pytest.mark.parametrize("share", [0.0, 0.5, 0.99, 1.01])
def test_cut_or_grown_data_is_found(share: float, tmp_path: Path) -> None:
    saved(tmp_path)
    path = tmp_path / read_manifest(tmp_path).file
    data = path.read_bytes() + b"x" * 1_000
    path.write_bytes(data[: int((len(data) - 1_000) * share)])
    assert fault_of(tmp_path) == SnapshotFault.CHECKSUM_MISMATCH


def test_lost_data_is_found(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / read_manifest(tmp_path).file).unlink()
    assert fault_of(tmp_path) == SnapshotFault.FILE_MISSING


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"schema": 1}', b'{"schema": 1, "more": 2}'],
)
def test_a_broken_manifest_is_refused(content: bytes, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / MANIFEST).write_bytes(content)
    assert fault_of(tmp_path) in (SnapshotFault.MANIFEST_INVALID, SnapshotFault.SCHEMA_UNKNOWN)


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"schema": 2}, SnapshotFault.SCHEMA_UNKNOWN),
        ({"seq": "4"}, SnapshotFault.MANIFEST_INVALID),
        ({"seq": -1}, SnapshotFault.MANIFEST_INVALID),
        ({"file": "../index-1-00.faiss"}, SnapshotFault.MANIFEST_INVALID),
        ({"file": "/etc/passwd"}, SnapshotFault.MANIFEST_INVALID),
        ({"extra": 1}, SnapshotFault.MANIFEST_INVALID),
        ({"count": 49}, SnapshotFault.COUNT_MISMATCH),
        ({"sha256": "0" * 64}, SnapshotFault.CHECKSUM_MISMATCH),
    ],
)
def test_a_manifest_that_lies_is_refused(
    changes: dict[str, object], fault: SnapshotFault, tmp_path: Path
) -> None:
    saved(tmp_path)
    edit_manifest(tmp_path, **changes)
    assert fault_of(tmp_path) == fault


def test_a_whole_file_that_is_no_index_is_unreadable(tmp_path: Path) -> None:
    import hashlib

    saved(tmp_path)
    data = b"not an index, but the checksum fits"
    (tmp_path / read_manifest(tmp_path).file).write_bytes(data)
    edit_manifest(tmp_path, sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
    assert fault_of(tmp_path) == SnapshotFault.UNREADABLE


def test_a_failed_save_leaves_the_old_snapshot(tmp_path: Path) -> None:
    index = saved(tmp_path)

    class FullDisk:
        model_id, dim = MODEL_ID, DIM

        def write(self, path: Path) -> None:
            path.write_bytes(b"half an index")
            raise OSError("no space left")

    with pytest.raises(OSError, match="no space"):
        save_snapshot(FullDisk(), tmp_path)  # type: ignore[arg-type]
    assert load(tmp_path).count == index.count
    assert list(tmp_path.glob("*.tmp")) == []


def test_an_unwritable_path_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="could not be written"):
        make_index().write(tmp_path / "no" / "such" / "folder")


def test_readers_and_writers_of_one_folder_always_get_a_whole_one(tmp_path: Path) -> None:
    saved(tmp_path, seq=1)
    stop = threading.Event()
    faults: list[str] = []

    def save(offset: int) -> None:
        seq = offset
        while not stop.is_set():
            seq += 2
            saved(tmp_path, count=20 + seq % 7, seq=seq)

    def read() -> None:
        while not stop.is_set():
            index = load(tmp_path)
            if index.applied_seq > 1 and index.count != 20 + index.applied_seq % 7:
                faults.append("mixed")

    threads = [threading.Thread(target=save, args=(one,)) for one in (1, 2)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(1.5)
    stop.set()
    for thread in threads:
        thread.join()
    assert faults == []
    assert load(tmp_path).count


def crash(folder: Path, mode: str, seed: int) -> int:
    """Run a process that saves for ever, kill it, and return the last save that it confirmed."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.indexer.crash_writer", str(folder), mode],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(random.Random(seed).uniform(0.0, 0.12))
    process.send_signal(signal.SIGKILL)
    confirmed = process.stdout.read().split()
    process.stdout.close()
    assert process.wait() == -signal.SIGKILL
    return int(confirmed[-1]) if confirmed else 1


def is_as_promised(folder: Path, confirmed: int) -> bool:
    """Whether the folder holds a whole state, none older than the last confirmed one."""
    try:
        index = load(folder)
    except SnapshotError:
        return False
    if index.applied_seq < confirmed:
        return False
    return verify(index, [state_at(index.applied_seq)]).is_equal


@pytest.mark.parametrize("seed", range(8))
def test_a_killed_writer_leaves_a_whole_snapshot(seed: int, tmp_path: Path) -> None:
    confirmed = crash(tmp_path, "sound", seed)
    assert is_as_promised(tmp_path, confirmed)
    saved(tmp_path, seq=10_000)
    assert list(tmp_path.glob("*.tmp")) == []


@pytest.mark.parametrize("mode", ["manifest-first", "wrong-seq"])
def test_the_check_notices_a_writer_that_is_unsound(mode: str, tmp_path: Path) -> None:
    """The negative control: the same kills, with a writer that does it wrong."""
    broken = 0
    for seed in range(8):
        folder = tmp_path / str(seed)
        confirmed = crash(folder, mode, seed)
        broken += not is_as_promised(folder, confirmed)
    assert broken >= 1
