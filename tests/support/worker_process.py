"""A worker in a process of its own, to be killed, stopped and outrun by tests.

`python -m tests.support.worker_process URL FOLDER LEASE_S CLIP_DELAY_S`; prints "clips" with each
batch that reaches the model, and ends gracefully on SIGTERM.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from models.interface import Vectors
from service.database.engine import Database
from tests.support.encoder import FakeEncoder
from tests.support.library import Library


class TellingEncoder(FakeEncoder):
    def embed_clips(self, clips: Vectors) -> Vectors:
        print("clips", flush=True)
        return super().embed_clips(clips)


def main() -> None:
    url, folder, lease_s, clip_delay_s = sys.argv[1:]
    database = Database(url)
    library = Library(
        database,
        Path(folder),
        encoder=TellingEncoder(clip_delay_s=float(clip_delay_s)),
        lease_s=float(lease_s),
        batch_size=1,
    )
    signal.signal(signal.SIGTERM, lambda *_: library.worker.ask_to_stop())
    library.worker.run()
    library.close()
    database.dispose()


if __name__ == "__main__":
    main()
