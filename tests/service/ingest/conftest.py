"""A library of its own for each test, on both database engines."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from service.database.engine import Database
from tests.support.library import Library


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Iterator[Library]:
    made = Library(database, tmp_path)
    yield made
    made.close()
