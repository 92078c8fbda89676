"""kill -9 at any moment of an upload: what was accepted is there, what is there is whole."""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import sys
import threading
from pathlib import Path

import sqlalchemy as sa

from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.database.tables import Job, Track
from service.tracks.blob_owners import collect_orphans

ROOT = Path(__file__).resolve().parents[3]
ROUNDS = 4

# Uploads for ever, each of other bytes, and tells the id of each that was accepted. The files are
# not decoded: more moments of the upload itself are hit in the same time.
_UPLOADER = """
import itertools, secrets, sys
from pathlib import Path
from service.audio.results import AudioProbe
from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.ingest.upload import UploadService

probe = AudioProbe("wav", "pcm", 1.0, 24_000, 1)
uploads = UploadService(
    Database(sys.argv[1]),
    LocalBlobStore(Path(sys.argv[2])),
    probe=lambda path: probe,
    model_id=lambda: "m",
    max_bytes=1 << 20,
)
while True:
    chunks = [secrets.token_bytes(4096) for _ in range(16)]
    print(uploads.upload(chunks, filename="a.wav").track.id, flush=True)
"""


def killed_uploads(url: str, blobs: Path, after_s: float) -> list[str]:
    """The ids that an uploader told before it was killed."""
    process = subprocess.Popen(
        [sys.executable, "-c", _UPLOADER, url, str(blobs)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    with process:
        assert process.stdout is not None
        first = process.stdout.readline().strip()
        timer = threading.Timer(after_s, process.kill)
        timer.start()
        rest = process.stdout.read().splitlines()
        timer.cancel()
    # The last line may have been cut by the kill; then it was never told.
    return [first, *(line for line in rest if len(line) == len(first))]


def test_nothing_accepted_is_lost_and_nothing_is_half(
    database: Database, database_url: str, tmp_path: Path
) -> None:
    blobs = LocalBlobStore(tmp_path / "blobs")
    moments = random.Random(3)
    accepted: list[str] = []
    for _ in range(ROUNDS):
        accepted += killed_uploads(database_url, blobs.root, moments.uniform(0.02, 0.4))
        with database.read() as session:
            tracks = list(session.scalars(sa.select(Track)))
            jobs = set(session.scalars(sa.select(Job.track_pk)))
        assert set(accepted) <= {track.id for track in tracks}
        assert {track.pk for track in tracks} == jobs, "a track and its job come together"
        for track in tracks:
            with blobs.open(track.sha256) as file:
                content = file.read()
            assert hashlib.sha256(content).hexdigest() == track.sha256
            assert len(content) == track.size_bytes
    assert len(accepted) >= ROUNDS
    collect_orphans(database, blobs, grace_s=-1)
    assert {blob.sha256 for blob in blobs.list_blobs()} == {track.sha256 for track in tracks}
    for half in (blobs.root / "incoming").glob("upload-*"):
        os.utime(half, (0, 0))
    blobs.remove_stale_uploads()
    assert list((blobs.root / "incoming").iterdir()) == []
