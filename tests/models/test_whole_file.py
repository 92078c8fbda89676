from pathlib import Path

import pytest

from models.whole_file import whole_file


def test_a_finished_draft_takes_the_name(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "labels.npz"
    with whole_file(path) as draft:
        draft.write_bytes(b"new")
        assert not path.exists()
    assert path.read_bytes() == b"new"
    assert [file.name for file in path.parent.iterdir()] == ["labels.npz"]


def test_a_failing_writer_leaves_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(OSError, match="disk full"):
        _fill_the_disk(path)
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["manifest.jsonl"]


def test_the_draft_of_a_killed_writer_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.with_name("metrics.jsonl.part").write_bytes(b"what a killed process left, and longer")
    with whole_file(path) as draft:
        draft.write_bytes(b"new")
    assert path.read_bytes() == b"new"


def test_a_block_that_wrote_nothing_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"old")
    with pytest.raises(FileNotFoundError), whole_file(path):
        pass
    assert path.read_bytes() == b"old"


def _fill_the_disk(path: Path) -> None:
    with whole_file(path) as draft:
        draft.write_bytes(b"ha")
        raise OSError("disk full")
