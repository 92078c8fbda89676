import pytest

from service.api.errors import RangeNotSatisfiable
from service.api.ranges import ByteRange, content_disposition, matches_etag, parse_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=0-", ByteRange(0, 99)),
        ("bytes=10-19", ByteRange(10, 19)),
        ("bytes=90-1000", ByteRange(90, 99)),
        ("bytes=-10", ByteRange(90, 99)),
        ("bytes=-1000", ByteRange(0, 99)),
        ("Bytes = 1-2", None),
        ("bytes=5-4", None),
        ("bytes=-", None),
        ("bytes=0-1,4-5", None),
        ("items=0-1", None),
        ("bytes=a-b", None),
        ("", None),
    ],
)
def test_what_part_a_header_asks_for(header: str | None, expected: ByteRange | None) -> None:
    assert parse_range(header, size_bytes=100) == expected


@pytest.mark.parametrize("header", ["bytes=100-", "bytes=100-200", "bytes=-0"])
def test_a_range_outside_the_file_is_refused(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, size_bytes=100)


def test_no_range_of_an_empty_file_can_be_had() -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range("bytes=0-", size_bytes=0)


def test_a_file_name_cannot_break_out_of_its_header() -> None:
    header = content_disposition('a"\r\nSet-Cookie: x=1; Straße 音.mp3')
    assert "\r" not in header
    assert "\n" not in header
    assert header.count('"') == 2
    assert header.isascii()
    assert "Stra%C3%9Fe" in header


def test_an_etag_matches_in_a_list_and_weakly() -> None:
    assert matches_etag('"x", W/"abc"', '"abc"')
    assert matches_etag("*", '"abc"')
    assert not matches_etag('"abcd"', '"abc"')
    assert not matches_etag("", '"abc"')
