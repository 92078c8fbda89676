"""Range requests (RFC 9110 section 14) over a file whose content never changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO
from urllib.parse import quote

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from service.api.errors import RangeNotSatisfiable, response_of

CHUNK_BYTES = 256 * 1024
_SINGLE_RANGE = re.compile(r"bytes=\s*(\d*)\s*-\s*(\d*)\s*", re.IGNORECASE)
_PLAIN_NAME = re.compile(r"[^A-Za-z0-9._ -]")


@dataclass(frozen=True)
class ByteRange:
    """Bytes `first` to `last`, both included."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        return self.last - self.first + 1


def parse_range(header: str | None, size_bytes: int) -> ByteRange | None:
    """The one range asked for, None where the whole file is the answer.

    A header that we cannot read, or several ranges, may be ignored by the standard, and is.
    Raises RangeNotSatisfiable for a range that lies outside the file.
    """
    match = _SINGLE_RANGE.fullmatch(header.strip()) if header else None
    if match is None or match.groups() == ("", ""):
        return None
    first_text, last_text = match.groups()
    if first_text == "":
        suffix = int(last_text)
        if suffix == 0 or size_bytes == 0:
            raise RangeNotSatisfiable(size_bytes=size_bytes)
        return ByteRange(max(0, size_bytes - suffix), size_bytes - 1)
    first = int(first_text)
    last = min(int(last_text), size_bytes - 1) if last_text else size_bytes - 1
    if last_text and int(last_text) < first:
        return None
    if first >= size_bytes:
        raise RangeNotSatisfiable(size_bytes=size_bytes)
    return ByteRange(first, last)


def content_disposition(filename: str) -> str:
    """`inline` with the name in plain ASCII, and in full for clients that read RFC 8187."""
    plain = _PLAIN_NAME.sub("_", filename)
    return f"inline; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"


def matches_etag(header: str, etag: str) -> bool:
    """Whether an If-None-Match list names this ETag."""
    offered = [item.strip().removeprefix("W/") for item in header.split(",")]
    return "*" in offered or etag in offered


def file_response(
    request: Request,
    source: BinaryIO,
    *,
    size_bytes: int,
    media_type: str,
    etag: str,
    headers: dict[str, str],
) -> Response:
    """The answer to a GET or HEAD for `source`: 200, 206, 304 or 416. Closes `source` when done."""
    headers = {**headers, "ETag": etag, "Accept-Ranges": "bytes"}
    if matches_etag(request.headers.get("if-none-match", ""), etag):
        source.close()
        return Response(status_code=304, headers=headers)
    if_range = request.headers.get("if-range")
    asked = request.headers.get("range") if if_range in (None, etag) else None
    try:
        part = parse_range(asked, size_bytes)
    except RangeNotSatisfiable as error:
        source.close()
        refused = response_of(error)
        refused.headers["Content-Range"] = f"bytes */{size_bytes}"
        return refused
    whole = ByteRange(0, size_bytes - 1)
    sent = part or whole
    headers["Content-Length"] = str(sent.size_bytes)
    if part is not None:
        headers["Content-Range"] = f"bytes {part.first}-{part.last}/{size_bytes}"
    status = 200 if part is None else 206
    if request.method == "HEAD":
        source.close()
        return Response(status_code=status, headers=headers, media_type=media_type)
    return StreamingResponse(
        read_range(source, sent), status_code=status, headers=headers, media_type=media_type
    )


def read_range(source: BinaryIO, part: ByteRange) -> Iterator[bytes]:
    """The bytes of `part` in pieces; a synchronous iterator, which runs off the event loop."""
    with source:
        source.seek(part.first)
        left = part.size_bytes
        while left > 0:
            piece = source.read(min(CHUNK_BYTES, left))
            if not piece:
                return
            left -= len(piece)
            yield piece
