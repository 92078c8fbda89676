"""Fetching published models, against a local server with the hub's URL shapes."""

from __future__ import annotations

import hashlib
import re
import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from models.bundle.loading import find_bundle_folder, store_folder
from models.bundle.pins import HUB_URL, PUBLISHED_MODELS, PinnedFile, PublishedModel
from models.bundle.pulling import is_pulled, plan_pull, pull
from models.errors import PullError

REPOSITORY = "Owner/Model-1"
REVISION = "a" * 40
WEIGHTS = bytes(range(256)) * 20_000
CONFIG = b'{"a": 1}'


@dataclass
class Hub:
    """What the server holds, how it misbehaves, and what it was asked for."""

    files: dict[str, bytes]
    url: str = ""
    break_after_bytes: int | None = None
    ignore_ranges: bool = False
    fail_with: int | None = None
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)


class HubHandler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._answer(with_body=False)

    def do_GET(self) -> None:
        self._answer(with_body=True)

    def log_message(self, *arguments: object) -> None:
        """Quiet."""

    def _answer(self, with_body: bool) -> None:
        hub = self.hub
        range_header = self.headers.get("Range")
        hub.requests.append((self.command, self.path, range_header))
        if not self.path.startswith("/cdn"):
            self._redirect()
            return
        content = hub.files.get(self.path.removeprefix("/cdn"))
        if content is None or (hub.fail_with is not None and with_body):
            self.send_error(hub.fail_with or 404)
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", range_header or "")
        if asked and not hub.ignore_ranges:
            start = int(asked[1])
            self.send_response(206)
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        if with_body:
            self._send(content[start:])

    def _redirect(self) -> None:
        self.send_response(302)
        self.send_header("Location", f"{self.hub.url}/cdn{self.path}")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, content: bytes) -> None:
        limit = self.hub.break_after_bytes
        if limit is None or len(content) <= limit:
            self.wfile.write(content)
            return
        self.wfile.write(content[:limit])
        self.wfile.flush()
        self.close_connection = True


def path_of(name: str) -> str:
    return f"/{REPOSITORY}/resolve/{REVISION}/{name}"


@pytest.fixture
def hub() -> Iterator[Hub]:
    hub = Hub({path_of("model.safetensors"): WEIGHTS, path_of("config.json"): CONFIG})
    handler = type("Handler", (HubHandler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield hub
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def catalogue() -> dict[str, PublishedModel]:
    def pinned(name: str, content: bytes, place: str) -> PinnedFile:
        return PinnedFile(REPOSITORY, REVISION, name, hashlib.sha256(content).hexdigest(), place)

    files = (
        pinned("config.json", CONFIG, "config.json"),
        pinned("model.safetensors", WEIGHTS, "model.safetensors"),
        pinned("config.json", CONFIG, "text/config.json"),
    )
    return {REPOSITORY: PublishedModel(REPOSITORY, "CC-BY-NC-4.0", files)}


def test_the_plan_shows_everything_and_fetches_nothing(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    assert plan.total_bytes == len(WEIGHTS) + 2 * len(CONFIG)
    assert plan.missing_bytes == plan.total_bytes
    assert plan.model.licence == "CC-BY-NC-4.0"
    assert plan.model.revision == REVISION
    assert plan.free_bytes == pytest.approx(shutil.disk_usage(tmp_path).free, rel=0.05)
    assert {method for method, _, _ in hub.requests} == {"HEAD"}
    assert list(tmp_path.iterdir()) == []


def test_a_pull_places_all_files_and_is_then_found(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    seen: list[tuple[str, int, int]] = []
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    folder = pull(plan, lambda *progress: seen.append(progress))
    assert (folder / "model.safetensors").read_bytes() == WEIGHTS
    assert (folder / "text" / "config.json").read_bytes() == CONFIG
    assert find_bundle_folder(REPOSITORY, store=tmp_path) == folder
    assert is_pulled(catalogue[REPOSITORY], folder)
    assert ("model.safetensors", len(WEIGHTS), len(WEIGHTS)) in seen
    hub.requests.clear()
    again = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    assert again.missing_bytes == 0
    assert pull(again) == folder
    assert {method for method, _, _ in hub.requests} == {"HEAD"}


def test_an_interrupted_pull_goes_on_where_it_stopped(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    hub.break_after_bytes = 600_000
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    with pytest.raises(PullError, match=r"model\.safetensors: \d+ of 5120000 bytes"):
        pull(plan)
    assert not store_folder(REPOSITORY, tmp_path).exists()
    ranges = [asked for method, _, asked in hub.requests if method == "GET" and asked]
    assert len(set(ranges)) >= 2
    hub.break_after_bytes = None
    resumed = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    assert 0 < resumed.missing_bytes < len(WEIGHTS)
    assert (pull(resumed) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_server_without_ranges_is_read_from_the_start(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    parts = tmp_path / ".Owner--Model-1.part"
    parts.mkdir()
    (parts / "model.safetensors.part").write_bytes(b"left over")
    hub.ignore_ranges = True
    assert (pull(plan) / "model.safetensors").read_bytes() == WEIGHTS


def test_a_spoilt_part_is_fetched_once_more(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    parts = tmp_path / ".Owner--Model-1.part"
    parts.mkdir()
    (parts / "model.safetensors.part").write_bytes(b"?" * 1000)
    assert (pull(plan) / "model.safetensors").read_bytes() == WEIGHTS


def test_other_content_than_pinned_is_refused(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    hub.files[path_of("model.safetensors")] = WEIGHTS[:-1] + b"?"
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    with pytest.raises(PullError, match="pinned checksum"):
        pull(plan)
    assert not store_folder(REPOSITORY, tmp_path).exists()
    downloads = [path for method, path, _ in hub.requests if method == "GET"]
    assert sum(path == f"/cdn{path_of('model.safetensors')}" for path in downloads) == 2


def test_a_body_longer_than_announced_is_cut_off(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    hub.files[path_of("model.safetensors")] = WEIGHTS * 2
    with pytest.raises(PullError, match="more than"):
        pull(plan)


def test_a_full_disk_is_noticed_before_anything_is_fetched(
    hub: Hub,
    catalogue: dict[str, PublishedModel],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1000))
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    assert not plan.fits
    with pytest.raises(PullError, match="1000 are free"):
        pull(plan)
    assert {method for method, _, _ in hub.requests} == {"HEAD"}


def test_servers_that_fail_are_reported(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    hub.fail_with = 503
    with pytest.raises(PullError, match="0 of"):
        pull(plan)
    hub.files.clear()
    with pytest.raises(PullError, match="how large"):
        plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)


def test_only_one_pull_of_a_model_at_a_time(
    hub: Hub, catalogue: dict[str, PublishedModel], tmp_path: Path
) -> None:
    plan = plan_pull(REPOSITORY, tmp_path, base_url=hub.url, catalogue=catalogue)
    refused: list[str] = []

    def try_again(*progress: object) -> None:
        if not refused:
            with pytest.raises(PullError, match="another process") as caught:
                pull(plan)
            refused.append(str(caught.value))

    pull(plan, try_again)
    assert refused


def test_only_pinned_models_can_be_pulled(tmp_path: Path) -> None:
    with pytest.raises(PullError, match="OpenMuQ/MuQ-MuLan-large"):
        plan_pull("someone/else", tmp_path)


def test_the_pins_are_complete() -> None:
    model = PUBLISHED_MODELS["OpenMuQ/MuQ-MuLan-large"]
    assert "CC-BY-NC" in model.licence
    places = {file.place for file in model.files}
    assert {"config.json", "model.safetensors", "xlm-roberta-base/tokenizer.json"} <= places
    for file in model.files:
        assert re.fullmatch(r"[0-9a-f]{64}", file.sha256)
        assert re.fullmatch(r"[0-9a-f]{40}", file.revision)
        assert file.url(HUB_URL).startswith("https://")
        assert file.name.endswith((".json", ".safetensors"))
