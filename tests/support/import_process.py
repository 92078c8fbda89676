"""A runner of batches in a process of its own, to be killed by tests.

`python -m tests.support.import_process URL FOLDER MUSIC LEASE_S`; files are not decoded, so that a
kill hits more moments of the taking in itself. Prints "ready" before it begins.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from service.audio.results import AudioProbe
from service.database.engine import Database
from service.imports import runner
from tests.support.batches import Batches
from tests.support.library import Library


def main() -> None:
    url, folder, music, lease_s = sys.argv[1:]
    runner.LISTED_AT_ONCE, runner.AHEAD = 10, 10_000
    library = Library(Database(url), Path(folder))
    probe = AudioProbe("wav", "pcm", 1.0, 24_000, 1)
    library.uploads._probe = lambda _path: probe
    batches = Batches(library, Path(music), owner=f"process-{os.getpid()}", lease_s=float(lease_s))
    print("ready", flush=True)
    batches.runner.run()


if __name__ == "__main__":
    main()
