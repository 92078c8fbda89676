import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import InvalidCursor
from service.search.cursor import Position, decode_cursor, encode_cursor, fingerprint


@given(
    st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 2**62), st.integers(0, 10**9)
)
def test_a_position_comes_back_bit_for_bit(score: float, vector_id: int, rank: int) -> None:
    position = Position(score, vector_id, rank)
    assert decode_cursor(encode_cursor("query", position), "query") == position


def test_a_fingerprint_ignores_the_order_of_keys_and_nothing_else() -> None:
    assert fingerprint({"a": 1, "b": [1, 2]}) == fingerprint({"b": [1, 2], "a": 1})
    assert fingerprint({"a": 1, "b": [1, 2]}) != fingerprint({"a": 1, "b": [2, 1]})


def test_another_querys_cursor_is_refused() -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(encode_cursor("one", Position(0.5, 1, 1)), "another")


@given(st.text(max_size=60))
def test_any_other_text_is_an_invalid_cursor(text: str) -> None:
    with pytest.raises(InvalidCursor):
        decode_cursor(text, "query")


@pytest.mark.parametrize(
    "fields", [[], {}, 1, ["query", "0x1p0", "x", 1], ["query", 1.5, 1, 1], ["query", "nan", 1, 1]]
)
def test_json_of_another_shape_is_an_invalid_cursor(fields: object) -> None:
    text = base64.urlsafe_b64encode(json.dumps(fields).encode()).decode()
    with pytest.raises(InvalidCursor):
        decode_cursor(text, "query")
