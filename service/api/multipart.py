"""Reads a multipart upload as it arrives: one file into a sink, small text fields into memory.

The form parsers that come with the framework write the whole file to a temporary one first, and
could hash it only by reading it again.
"""

from __future__ import annotations

import re
from collections.abc import Collection
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
    """Collects what the push parser reports between two chunks of the body."""

    def __init__(self, boundary: bytes, file_field: str, text_fields: Collection[str]) -> None:
        self.file_field = file_field
        self.text_fields = text_fields
        self.texts: dict[str, str] = {}
        self.file: _Part | None = None
        self.pending = bytearray()
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
        if part.name == self.file_field:
            if part.filename is None:
                raise InvalidRequest(f"The part {self.file_field!r} must be a file.")
            if self.file is not None:
                raise InvalidRequest("Send one file per request.")
            self.file = part
        elif part.name not in self.text_fields:
            raise InvalidRequest("The form has a part that is not known here.", part=part.name[:50])
        elif part.name in self.texts:
            raise InvalidRequest("The form has the same part twice.", part=part.name)

    def _on_part_data(self, data: bytes, start: int, end: int) -> None:
        if self._part is self.file:
            self.pending += data[start:end]
            return
        self._part.data += data[start:end]
        if len(self._part.data) > MAX_FIELD_BYTES:
            raise TooLarge("A text part of the form is too large.", limit_bytes=MAX_FIELD_BYTES)

    def _on_part_end(self) -> None:
        if self._part is not self.file:
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

    Raises InvalidRequest (not a whole form, unknown parts), TooLarge past `max_file_bytes`, and
    ClientDisconnect. The caller discards the sink on any of them.
    """
    reader = _FormReader(_boundary(request), file_field, text_fields)
    size_bytes, more_body = 0, True
    while more_body:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more_body = message.get("more_body", False)
        reader.feed(message.get("body", b""))
        if size_bytes + len(reader.pending) > max_file_bytes:
            raise TooLarge(limit_bytes=max_file_bytes)
        if len(reader.pending) >= BUFFER_BYTES or not more_body:
            size_bytes += await _flush(reader, sink)
    return _finished_form(reader, size_bytes)


def _finished_form(reader: _FormReader, size_bytes: int) -> UploadForm:
    if not reader.complete:
        raise BadRequest("The multipart form ends before its last boundary.")
    if reader.file is None or reader.file.filename is None:
        raise InvalidRequest(f"The form needs a file part called {reader.file_field!r}.")
    return UploadForm(reader.file.filename, reader.file.content_type, size_bytes, reader.texts)


async def _flush(reader: _FormReader, sink: FileSink) -> int:
    data = bytes(reader.pending)
    reader.pending.clear()
    if data:
        await run_in_threadpool(sink.write, data)
    return len(data)


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
