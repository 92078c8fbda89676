"""A library with everything that batches need, on both database engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database.engine import Database
from tests.support.batches import Batches
from tests.support.library import Library


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Iterator[Library]:
    made = Library(database, tmp_path)
    yield made
    made.close()


@pytest.fixture
def music(tmp_path: Path) -> Path:
    """An empty folder that may be taken in."""
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


@pytest.fixture
def batches(library: Library, music: Path) -> Batches:
    return Batches(library, music)
