"""A locked file for each worker: its lock falls with its process, however that ends.

So another worker of the same machine can know at once that this one is dead, and need not wait
until its leases run out. Nothing is concluded across machines: each start of a kernel has a folder
of its own, because file systems that several machines share do not all share their locks. Where
the folder cannot be written, or there is no such folder, leases run out as they always do.
"""

from __future__ import annotations

import fcntl
import logging
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

logger = logging.getLogger(__name__)

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class WorkerMarks:
    """The marks of the workers of this machine, as it runs since its last start."""

    def __init__(self, folder: Path) -> None:
        boot_id = _read_boot_id()
        self._folder = folder / boot_id if boot_id else None
        self._own: BinaryIO | None = None

    def hold(self, worker_id: str) -> None:
        """Mark that this worker lives, until `release` or the end of the process."""
        if self._folder is None:
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._own = (self._folder / worker_id).open("xb")
            fcntl.flock(self._own, fcntl.LOCK_EX)
        except OSError as error:
            logger.info("this worker has no mark in the data folder: errno %s", error.errno)

    def release(self) -> None:
        """Take the mark away; safe without `hold`."""
        own, self._own = self._own, None
        if own is not None:
            with suppress(OSError):
                Path(own.name).unlink(missing_ok=True)
            own.close()

    @contextmanager
    def dead(self) -> Iterator[list[str]]:
        """Workers whose process has ended without a word; their marks go after the block.

        While it lasts their marks are locked, so that nobody else does the same. An error in the
        block leaves them for the next look.
        """
        found: list[BinaryIO] = []
        try:
            for path in self._others():
                mark = _open_dead(path)
                if mark is not None:
                    found.append(mark)
            yield [Path(mark.name).name for mark in found]
            for mark in found:
                Path(mark.name).unlink(missing_ok=True)
        finally:
            for mark in found:
                mark.close()

    def _others(self) -> list[Path]:
        if self._folder is None:
            return []
        own = None if self._own is None else Path(self._own.name)
        try:
            return [path for path in self._folder.iterdir() if path != own]
        except OSError:
            return []


def _open_dead(path: Path) -> BinaryIO | None:
    """The mark, locked, if nobody holds it."""
    try:
        mark = path.open("rb")
    except OSError:
        return None
    try:
        fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        mark.close()
        return None
    return mark


def _read_boot_id() -> str | None:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip() or None
    except OSError:
        return None
