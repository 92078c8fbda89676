"""kill -9 at any moment of a batch: the next process goes on, and every file is there once."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import Job, Track
from tests.support.batches import Batches
from tests.support.library import Library

ROOT = Path(__file__).resolve().parents[3]
FILES = 80
KILLS = 5
LEASE_S = 0.3
WAIT_S = 120.0


def start_process(url: str, folder: Path, music: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.support.import_process", url, folder, music, str(LEASE_S)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def test_a_killed_batch_goes_on(
    database: Database, database_url: str, library: Library, music: Path, batches: Batches
) -> None:
    for number in range(FILES):
        folder = music / str(number % 7)
        folder.mkdir(exist_ok=True)
        (folder / f"{number}.wav").write_bytes(number.to_bytes(2, "big") * 4000)
    import_id = batches.start()
    moments = random.Random(5)
    listed = set()
    for _ in range(KILLS):
        process = start_process(database_url, library.folder, music)
        time.sleep(moments.uniform(0.05, 0.6))
        kill(process)
        listed.add(batches.view(import_id).batch.listed_at is not None)
        assert_consistent(database, batches, import_id)
    process = start_process(database_url, library.folder, music)
    deadline = time.monotonic() + WAIT_S
    while batches.counts(import_id) != {"queued": FILES}:
        assert time.monotonic() < deadline, batches.counts(import_id)
        time.sleep(0.05)
    kill(process)
    assert_consistent(database, batches, import_id)
    assert len(list(library.blobs.list_blobs())) == FILES


def assert_consistent(database: Database, batches: Batches, import_id: str) -> None:
    """Each stored file has its line, its track and its job; none was taken for a duplicate."""
    items = batches.items(import_id).values()
    stored = [item.track_pk for item in items if item.state == "queued"]
    assert {item.state for item in items} <= {"waiting", "queued"}
    with database.read() as session:
        tracks = session.scalars(sa.select(Track.pk)).all()
        jobs = session.scalars(sa.select(Job.track_pk)).all()
    assert sorted(tracks) == sorted(jobs) == sorted(pk for pk in stored if pk is not None)
