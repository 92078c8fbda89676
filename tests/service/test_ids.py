"""Ids are unique, opaque, and sort by the time at which they were made."""

from __future__ import annotations

import time

import pytest

from service.ids import is_id, new_id


def test_ids_sort_by_time() -> None:
    made = []
    for _ in range(5):
        made.append(new_id())
        time.sleep(0.002)
    assert made == sorted(made)


def test_ids_do_not_repeat_and_have_one_form() -> None:
    made = {new_id() for _ in range(10_000)}
    assert len(made) == 10_000
    assert all(is_id(one) and len(one) == 26 for one in made)


@pytest.mark.parametrize(
    "text", ["", "a" * 26, "0" * 25, "0" * 27, "0" * 25 + "\x00", "0" * 25 + "U"]
)
def test_other_texts_are_no_ids(text: str) -> None:
    assert not is_id(text)
