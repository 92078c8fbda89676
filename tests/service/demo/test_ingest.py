"""The demo library goes into an empty library, once."""

import json
from pathlib import Path

import pytest

from service.database.tables import ServiceState
from service.demo.ingest import LIBRARY_DIR, OFFERED, offer_demo_library, read_library
from service.runtime import Services, build_services
from tests.support.audio import write_audio
from tests.support.encoder import FakeEncoder, tone
from tests.support.service import API, eventually, make_settings, running_service, upload


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two pieces, one that is missing, and one that is no audio."""
    library = tmp_path / "library"
    library.mkdir()
    write_audio(library / "a.opus", tone(150.0, 2.0), 48_000)
    write_audio(library / "b.opus", tone(5000.0, 2.0), 48_000)
    (library / "broken.opus").write_bytes(b"not audio")
    entries = [
        {"file": "a.opus", "title": "A", "artist": "X", "licence": "CC0-1.0", "source": "s"},
        {"file": "b.opus", "title": "B", "attribution": "by X", "year": 2001},
        {"file": "broken.opus", "title": "C"},
        {"file": "missing.opus", "title": "D"},
        {"file": "../../outside.opus", "title": "E"},
    ]
    (library / "library.json").write_text(json.dumps(entries))
    return library


@pytest.fixture
def services(tmp_path: Path, sqlite_url: str) -> Services:
    return build_services(make_settings(tmp_path / "data", sqlite_url), FakeEncoder)


def offer(services: Services, folder: Path) -> int:
    return offer_demo_library(services.database, services.encoder, services.uploads, folder)


def test_it_is_offered_once_and_not_again_after_it_was_deleted(
    services: Services, folder: Path
) -> None:
    assert offer(services, folder) == 2
    tracks = services.tracks.list_tracks(sort="title", descending=False).items
    assert [track.title for track in tracks] == ["A", "B"]
    assert (tracks[0].licence, tracks[1].attribution, tracks[1].year) == ("CC0-1.0", "by X", 2001)
    assert tracks[0].extra == {"source": "s", "demo": True}
    assert offer(services, folder) == 0
    for track in tracks:
        services.tracks.delete_track(track.id)
    assert offer(services, folder) == 0


def test_a_library_that_is_in_use_is_left_alone(services: Services, folder: Path) -> None:
    services.encoder.wait()
    services.uploads.upload_file(folder / "a.opus")
    assert offer(services, folder) == 0


def test_an_offer_that_was_broken_off_goes_on(services: Services, folder: Path) -> None:
    services.encoder.wait()
    with services.database.write() as session:
        session.add(ServiceState(key=OFFERED, value="begun"))
    services.uploads.upload_file(folder / "a.opus")
    assert offer(services, folder) == 1
    assert offer(services, folder) == 0


def test_a_folder_without_a_list_offers_nothing(services: Services, tmp_path: Path) -> None:
    assert offer(services, tmp_path) == 0


def test_the_shipped_pieces_are_all_there_and_credited() -> None:
    pieces = read_library(LIBRARY_DIR)
    assert len(pieces) >= 20
    listed = json.loads((LIBRARY_DIR / "library.json").read_text(encoding="utf-8"))
    entries = listed["tracks"] if isinstance(listed, dict) else listed
    assert len(pieces) == len(entries)
    assert all(values["licence"] and values["attribution"] for _, values in pieces)


def test_a_first_start_brings_music(
    tmp_path: Path, sqlite_url: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.demo.ingest.LIBRARY_DIR", folder)
    monkeypatch.setattr(offer_demo_library, "__defaults__", (folder,))
    settings = make_settings(tmp_path / "data", sqlite_url, demo_library=True)
    with running_service(settings) as (client, _):
        eventually(lambda: client.get(f"{API}/tracks?state=ready").json()["total"] == 2)
        assert upload(client, folder / "a.opus").status_code == 200
