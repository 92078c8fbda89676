"""The form reader against forms cut at every place, and against forms that are none."""

import asyncio

import pytest
from starlette.requests import ClientDisconnect, Request

from service.api.errors import BadRequest
from service.api.multipart import UploadForm, read_upload_form, safe_filename
from service.errors import InvalidRequest, MuqueryError, TooLarge

BOUNDARY = "frontier"
CONTENT = b"\r\n--front\r\nnot a boundary \x00\xff" * 20


class Sink:
    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes, /) -> None:
        self.data += data


def part(disposition: str, body: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n"
    return head.encode() + body + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()
FILE = part('name="file"; filename="song.mp3"', CONTENT)
METADATA = part('name="metadata"', '{"title": "Ä"}'.encode())


def read(
    body: bytes,
    sink: Sink | None = None,
    *,
    piece: int = 10_000,
    max_file_bytes: int = 10_000,
    content_type: str = f"multipart/form-data; boundary={BOUNDARY}",
    disconnects: bool = False,
) -> UploadForm:
    pieces = [body[i : i + piece] for i in range(0, len(body), piece)] or [b""]
    messages = [
        {"type": "http.request", "body": data, "more_body": disconnects or i < len(pieces) - 1}
        for i, data in enumerate(pieces)
    ]
    messages.append({"type": "http.disconnect"})

    async def receive() -> dict[str, object]:
        return messages.pop(0)

    scope = {
        "type": "http",
        "method": "POST",
        "headers": [(b"content-type", content_type.encode())],
    }
    return asyncio.run(
        read_upload_form(
            Request(scope, receive),
            sink or Sink(),
            max_file_bytes=max_file_bytes,
            text_fields={"metadata"},
        )
    )


@pytest.mark.parametrize("piece", [1, 2, 3, 7, 64, 10_000])
@pytest.mark.parametrize("order", ["file first", "metadata first"])
def test_the_form_is_the_same_however_it_arrives(piece: int, order: str) -> None:
    sink = Sink()
    parts = [FILE, METADATA] if order == "file first" else [METADATA, FILE]
    form = read(b"".join(parts) + END, sink, piece=piece)
    assert sink.data == CONTENT
    assert form.size_bytes == len(CONTENT)
    assert form.filename == "song.mp3"
    assert form.fields == {"metadata": '{"title": "Ä"}'}


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", BadRequest),
        (b"hello", BadRequest),
        (FILE, BadRequest),
        (FILE + FILE + END, InvalidRequest),
        (METADATA + END, InvalidRequest),
        (METADATA + METADATA + FILE + END, InvalidRequest),
        (FILE + part('name="other"', b"x") + END, InvalidRequest),
        (part('name="file"', b"not a file part") + END, InvalidRequest),
        (part('name="metadata"', b"x" * 70_000) + FILE + END, TooLarge),
        (part("nothing", b"") + END, InvalidRequest),
    ],
)
def test_a_form_that_is_none_is_refused(body: bytes, error: type[MuqueryError]) -> None:
    with pytest.raises(error):
        read(body, max_file_bytes=100_000)


def test_a_file_of_the_limit_passes_and_one_byte_more_does_not() -> None:
    assert read(FILE + END, max_file_bytes=len(CONTENT)).size_bytes == len(CONTENT)
    with pytest.raises(TooLarge):
        read(FILE + END, max_file_bytes=len(CONTENT) - 1)


@pytest.mark.parametrize(
    "content_type", ["application/json", "multipart/form-data", "text/plain; boundary=x", ""]
)
def test_another_content_type_is_refused(content_type: str) -> None:
    with pytest.raises(InvalidRequest):
        read(FILE + END, content_type=content_type)


def test_a_client_that_goes_away_ends_the_reading() -> None:
    with pytest.raises(ClientDisconnect):
        read(FILE, disconnects=True)


@pytest.mark.parametrize(
    ("offered", "kept"),
    [
        ("song.mp3", "song.mp3"),
        ("../../etc/passwd", "passwd"),
        ("C:\\music\\song.mp3", "song.mp3"),
        ("a\x00b\n.mp3", "ab.mp3"),
        ("", "unnamed"),
        ("x" * 300 + ".mp3", "x" * 251 + ".mp3"),
    ],
)
def test_a_file_name_is_a_name_and_no_path(offered: str, kept: str) -> None:
    assert safe_filename(offered) == kept
