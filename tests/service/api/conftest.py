"""A running service on SQLite, and one on each database."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.runtime import Services
from service.settings import Settings
from tests.support.audio import write_audio
from tests.support.encoder import SAMPLE_RATE_HZ, FakeEncoder, tone
from tests.support.service import make_settings, running_service


@dataclass
class Running:
    """A service under test, and the encoder that it was given."""

    client: TestClient
    services: Services
    encoder: FakeEncoder


@pytest.fixture
def settings(tmp_path: Path, sqlite_url: str) -> Settings:
    return make_settings(tmp_path / "data", sqlite_url)


@pytest.fixture
def running(settings: Settings) -> Iterator[Running]:
    """On SQLite, with a worker."""
    encoder = FakeEncoder()
    with running_service(settings, encoder) as (client, services):
        yield Running(client, services, encoder)


@pytest.fixture
def idle(settings: Settings) -> Iterator[Running]:
    """On SQLite, without a worker: jobs stay queued."""
    encoder = FakeEncoder()
    quiet = settings.model_copy(update={"worker": "off"})
    with running_service(quiet, encoder) as (client, services):
        yield Running(client, services, encoder)


@pytest.fixture
def running_anywhere(tmp_path: Path, database_url: str) -> Iterator[Running]:
    """On SQLite and on PostgreSQL, with a worker."""
    encoder = FakeEncoder()
    settings = make_settings(tmp_path / "data", database_url)
    with running_service(settings, encoder) as (client, services):
        yield Running(client, services, encoder)


@pytest.fixture(scope="session")
def tones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Files of 12 s: "low", "middle" and "high", and "both", which is low and then high."""
    folder = tmp_path_factory.mktemp("tones")
    low, middle, high = (tone(frequency_hz, 12.0) for frequency_hz in (150.0, 1000.0, 5000.0))
    half = 10 * SAMPLE_RATE_HZ
    both = np.concatenate([low[:half], high[:half]])
    sounds = {"low": low, "middle": middle, "high": high, "both": both}
    return {
        name: write_audio(folder / f"{name}.flac", samples, SAMPLE_RATE_HZ)
        for name, samples in sounds.items()
    }
