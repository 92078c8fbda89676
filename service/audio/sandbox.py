"""Starting, reading and ending one decoder process, from the parent's side (POSIX only).

The process is a fresh interpreter in a session of its own. It gets the file as standard input and
an environment without the service's secrets, and it limits itself before it reads a byte of audio.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

import service
from service.audio.errors import (
    DecodeMemoryLimit,
    DecoderCrashed,
    DecodeTimeout,
    EmptyFile,
    NotAudioFile,
    error_for_code,
)
from service.audio.protocol import DecodeRequest, Frame, FrameKind, read_frame

_READ_BYTES = 1 << 16
_PASSED_VARIABLES = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONHOME", "SYSTEMROOT")


class DecoderProcess:
    """One running decoder; leaving the context kills whatever is left of its process group."""

    def __init__(self, path: Path, request: DecodeRequest) -> None:
        """Start decoding a file.

        Raises EmptyFile, NotAudioFile (not a regular file), and OSError when it cannot be read.
        """
        self._limits = request.limits
        self._waited_s = 0.0
        source = _open_regular(path)
        try:
            self._process = subprocess.Popen(  # noqa: S603 - our own module, no shell
                [sys.executable, "-P", "-m", "service.audio.decoder_child", request.to_json()],
                stdin=source,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                cwd="/",
                env=_environment(),
            )
        finally:
            os.close(source)
        assert self._process.stdout is not None
        self._output = self._process.stdout
        self._poll = select.poll()
        self._poll.register(self._output, select.POLLIN)

    @property
    def pid(self) -> int:
        """Process id of the decoder, which is also its process group."""
        return self._process.pid

    def frames(self) -> Iterator[Frame]:
        """Yields frames up to and with the trailer; raises the DecodeError that ended it else."""
        while True:
            try:
                frame = read_frame(self._read_exactly)
                if frame.kind is FrameKind.ERROR:
                    raise error_for_code(str(frame.json().get("code")))
            except ValueError as error:
                raise DecoderCrashed() from error
            yield frame
            if frame.kind is FrameKind.TRAILER:
                return

    def _read_exactly(self, size: int) -> bytes:
        parts: list[bytes] = []
        while size:
            self._wait()
            part = os.read(self._output.fileno(), min(size, _READ_BYTES))
            if not part:
                raise self._death()
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def _wait(self) -> None:
        """Wait for output, on the decoder's time budget."""
        left_s = self._limits.timeout_s - self._waited_s
        began = time.monotonic()
        is_ready = left_s > 0 and self._poll.poll(left_s * 1000)
        self._waited_s += time.monotonic() - began
        if not is_ready:
            raise DecodeTimeout()

    def _death(self) -> DecodeTimeout | DecodeMemoryLimit | DecoderCrashed:
        """The error for a decoder that closed its output without a trailer."""
        try:
            code = self._process.wait(timeout=max(0.1, self._limits.timeout_s - self._waited_s))
        except subprocess.TimeoutExpired:
            return DecodeTimeout()
        return DecodeTimeout() if code == -signal.SIGXCPU else DecoderCrashed()

    def close(self) -> None:
        """Kill the decoder's process group and reap it; safe to call again."""
        if self._process.returncode is None:
            # Not reaped yet, so that the number cannot belong to anybody else.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._output.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _open_regular(path: Path) -> int:
    # O_NONBLOCK: opening a FIFO must not hang before we can see that it is one.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    status = os.fstat(descriptor)
    if stat.S_ISREG(status.st_mode) and status.st_size > 0:
        return descriptor
    os.close(descriptor)
    raise EmptyFile() if stat.S_ISREG(status.st_mode) else NotAudioFile()


def _environment() -> dict[str, str]:
    passed = {name: os.environ[name] for name in _PASSED_VARIABLES if name in os.environ}
    return {
        **passed,
        # The child must find this very package, wherever it was imported from.
        "PYTHONPATH": str(Path(service.__path__[0]).resolve().parent),
        "LC_ALL": "C.UTF-8",
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
