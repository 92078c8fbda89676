"""Reads a multipart upload as it arrives: files into sinks, small text fields into memory.

The form parsers that come with the framework write the whole file to a temporary one first, and
could hash it only by reading it again.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from service.api.errors import BadRequest
from service.errors import InvalidRequest, TooLarge

BUFFER_BYTES = 1024 * 1024
MAX_FIELD_BYTES = 64 * 1024
MAX_PARTS = 16
MAX_FILENAME_CHARS = 255
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class FileSink(Protocol):
    """Where the bytes of the file part go; called in a worker thread, one call at a time."""

    def write(self, data: bytes, /) -> object: ...


@dataclass
class FilesForm:
    """The parts of a form with several files: their field names, and the texts."""

    files: list[str]
    fields: dict[str, str]


@dataclass
class UploadForm:
    """The parts of a form: the file's name and size (its bytes are in the sink), and the texts."""

    filename: str
    content_type: str
    size_bytes: int
    fields: dict[str, str]


@dataclass
class _Part:
    name: str = ""
    filename: str | None = None
    content_type: str = "application/octet-stream"
    headers: dict[bytes, bytes] = field(default_factory=dict)
    data: bytearray = field(default_factory=bytearray)


class _FormReader:
    """Collects what the push parser reports between two chunks of the body.

    Parts called `file_field` are files; None takes every part that is not a text field for one.
    """

    def __init__(
        self,
        boundary: bytes,
        file_field: str | None,
        text_fields: Collection[str],
        max_files: int = 1,
    ) -> None:
        self.file_field = file_field
        self.text_fields = text_fields
        self.max_files = max_files
        self.texts: dict[str, str] = {}
        self.files: list[_Part] = []
        self.pending: list[tuple[int, bytearray]] = []
        """Bytes that no sink has yet, with the number of their file; a number once."""
        self.complete = False
        self._part = _Part()
        self._parts = 0
        self._header = bytearray()
        self._value = bytearray()
        self.parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._on_part_begin,
                "on_header_field": self._on_header_field,
                "on_header_value": self._on_header_value,
                "on_header_end": self._on_header_end,
                "on_headers_finished": self._on_headers_finished,
                "on_part_data": self._on_part_data,
                "on_part_end": self._on_part_end,
                "on_end": self._on_end,
            },
        )

    def feed(self, data: bytes) -> None:
        """Parse one chunk; BadRequest where it is not multipart."""
        try:
            self.parser.write(data)
        except FormParserError:
            raise BadRequest("The body is not a well-formed multipart form.") from None

    def _on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise InvalidRequest("The form has too many parts.")
        self._part = _Part()

    def _on_header_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._part.headers[bytes(self._header).lower()] = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _on_headers_finished(self) -> None:
        part = self._part
        _, options = parse_options_header(part.headers.get(b"content-disposition", b""))
        part.name = options.get(b"name", b"").decode("utf-8", "replace")
        if b"filename" in options:
            part.filename = safe_filename(options[b"filename"].decode("utf-8", "replace"))
        content_type = part.headers.get(b"content-type")
        if content_type is not None:
            part.content_type = content_type.decode("latin-1")[:100]
        self._accept(part)

    def _accept(self, part: _Part) -> None:
        if part.name in self.text_fields:
            if part.name in self.texts:
                raise InvalidRequest("The form has the same part twice.", part=part.name)
        elif self.file_field not in (None, part.name):
            raise InvalidRequest("The form has a part that is not known here.", part=part.name[:50])
        elif part.filename is None:
            raise InvalidRequest(f"The part {part.name[:50]!r} must be a file.")
        elif any(part.name == file.name for file in self.files) and self.max_files > 1:
            raise InvalidRequest("The form has the same part twice.", part=part.name[:50])
        elif len(self.files) == self.max_files:
            most = "one file" if self.max_files == 1 else f"at most {self.max_files} files"
            raise InvalidRequest(f"Send {most} per request.")
        else:
            self.files.append(part)
            self.pending.append((len(self.files) - 1, bytearray()))

    @property
    def pending_bytes(self) -> int:
        return sum(len(data) for _, data in self.pending)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self.files and self._part is self.files[-1]:
            if not self.pending:
                self.pending.append((len(self.files) - 1, bytearray()))
            self.pending[-1][1].extend(data[start:end])
            return
        self._part.data += data[start:end]
        if len(self._part.data) > MAX_FIELD_BYTES:
            raise TooLarge("A text part of the form is too large.", limit_bytes=MAX_FIELD_BYTES)

    def _on_part_end(self) -> None:
        if self._part.name in self.text_fields:
            self.texts[self._part.name] = self._part.data.decode("utf-8", "replace")

    def _on_end(self) -> None:
        self.complete = True


async def read_upload_form(
    request: Request,
    sink: FileSink,
    *,
    max_file_bytes: int,
    text_fields: Collection[str],
    file_field: str = "file",
) -> UploadForm:
    """Stream the body's file part into `sink`.

    Raises BadRequest (not a whole form), InvalidRequest (unknown parts), TooLarge past
    `max_file_bytes`, and ClientDisconnect. The caller discards the sink on any of them.
    """
    reader = _FormReader(_boundary(request), file_field, text_fields)

    async def write(_number: int, data: bytes) -> None:
        if data:
            await run_in_threadpool(sink.write, data)

    sizes = await _read_form(request, reader, write, max_file_bytes)
    if not reader.files:
        raise InvalidRequest(f"The form needs a file part called {file_field!r}.")
    file = reader.files[0]
    return UploadForm(file.filename or "", file.content_type, sizes[0], reader.texts)


async def read_files_form(
    request: Request,
    open_sink: Callable[[], Awaitable[FileSink]],
    *,
    max_file_bytes: int,
    max_files: int,
    text_fields: Collection[str],
) -> FilesForm:
    """Stream each file part of the body into a sink of its own, opened when its part begins.

    Raises what `read_upload_form` does; the caller discards the sinks.
    """
    reader = _FormReader(_boundary(request), None, text_fields, max_files)
    sinks: list[FileSink] = []

    async def write(number: int, data: bytes) -> None:
        while len(sinks) <= number:
            sinks.append(await open_sink())
        if data:
            await run_in_threadpool(sinks[number].write, data)

    await _read_form(request, reader, write, max_file_bytes)
    return FilesForm([part.name for part in reader.files], reader.texts)


async def _read_form(
    request: Request,
    reader: _FormReader,
    write: Callable[[int, bytes], Awaitable[None]],
    max_file_bytes: int,
) -> list[int]:
    """Feed the whole body to the reader, and its files to `write`; returns the files' sizes."""
    sizes: list[int] = []
    more_body = True
    while more_body:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more_body = message.get("more_body", False)
        reader.feed(message.get("body", b""))
        sizes += [0] * (len(reader.files) - len(sizes))
        if any(sizes[number] + len(data) > max_file_bytes for number, data in reader.pending):
            raise TooLarge(limit_bytes=max_file_bytes)
        if reader.pending_bytes >= BUFFER_BYTES or not more_body:
            pending, reader.pending = reader.pending, []
            for number, data in pending:
                sizes[number] += len(data)
                await write(number, bytes(data))
    if not reader.complete:
        raise BadRequest("The multipart form ends before its last boundary.")
    return sizes


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise InvalidRequest("Send the file as multipart/form-data.")
    return boundary


def safe_filename(offered: str) -> str:
    """The last part of a client's file name, without control characters; never used as a path."""
    name = _CONTROL.sub("", offered.replace("\\", "/").rsplit("/", 1)[-1]).strip()
    return name[-MAX_FILENAME_CHARS:] or "unnamed"
