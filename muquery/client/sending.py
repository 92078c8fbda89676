"""From a call to what httpx sends: files opened anew for every try, and their progress counted."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any, TypeVar

import httpx
from pydantic import ValidationError

from muquery.client.calls import Call, Source
from muquery.client.errors import UnexpectedAnswer

T = TypeVar("T")

PREFIX = "/api/v1"
DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = httpx.Timeout(60.0, read=600.0, write=600.0)
POLL_S = 0.5
"""How often a job or an import that is waited for is looked at."""

Progress = Callable[[int, int | None], None]
"""Called with the bytes sent so far and, where it is known, how many there are."""


@contextmanager
def prepared(call: Call[Any], progress: Progress | None = None) -> Iterator[dict[str, Any]]:
    """Yield the arguments of httpx's `request`; files that were paths are closed afterwards."""
    with ExitStack() as stack:
        arguments: dict[str, Any] = {"params": dict(call.params)}
        if call.unhurried:
            arguments["timeout"] = httpx.Timeout(60.0, read=None, write=None)
        if call.json is not None:
            arguments["json"] = call.json
        if call.files:
            arguments["data"] = dict(call.form)
            arguments["files"] = _opened(call.files, stack, progress)
        yield arguments


def read_answer(call: Call[T], response: httpx.Response) -> T:
    """Read a successful answer; UnexpectedAnswer where it is not what this call is answered by."""
    try:
        return call.read(response.content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"]) or "the answer"
        raise UnexpectedAnswer(
            f"{response.url} answered what is not understood: {where}: {first['msg']}"
        ) from None


def _opened(
    files: Mapping[str, Source], stack: ExitStack, progress: Progress | None
) -> dict[str, tuple[str, IO[bytes], str]]:
    opened: dict[str, tuple[str, IO[bytes], str]] = {}
    for name, source in files.items():
        if isinstance(source, str | Path):
            file: IO[bytes] = stack.enter_context(Path(source).open("rb"))  # noqa: SIM115  # the stack is one
            shown = Path(source).name
        else:
            file = source
            file.seek(0)  # an earlier try may have read it
            shown = Path(str(getattr(source, "name", "audio"))).name
        counted = file if progress is None else _Counted(file, progress)
        opened[name] = (shown, counted, "application/octet-stream")
    return opened


class _Counted(io.RawIOBase, IO[bytes]):  # httpx only reads and seeks
    """A file that tells how far it was read."""

    def __init__(self, file: IO[bytes], progress: Progress) -> None:
        self._file, self._progress = file, progress
        self._sent, self._size = 0, _size_of(file)

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._sent += len(data)
        self._progress(self._sent, self._size)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        place = self._file.seek(offset, whence)
        self._sent = place
        return place

    def tell(self) -> int:
        return self._file.tell()


def _size_of(file: IO[bytes]) -> int | None:
    try:
        return os.fstat(file.fileno()).st_size
    except (OSError, AttributeError):
        return None
