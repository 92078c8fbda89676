"""Real servers on real sockets, two of them on one library."""

import json
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.support.process import Server, environment, serving
from tests.support.service import API, eventually


@dataclass
class Pair:
    """Two servers on one database and folder; only the first works on jobs."""

    first: Server
    second: Server


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    shutil.copyfile(sqlite_template, folder / "muquery.sqlite3")
    url = f"sqlite:///{folder / 'muquery.sqlite3'}"
    limits = {"MAX_UPLOAD_BYTES": "3000000"}
    with (
        serving(environment(folder / "data", url, **limits)) as first,
        serving(environment(folder / "data", url, WORKER="off", **limits)) as second,
    ):
        yield Pair(first, second)


def send(server: Server, path: Path) -> dict[str, object]:
    with path.open("rb") as file:
        response = httpx.post(f"{server.api}/tracks", files={"file": file}, timeout=30)
    assert response.status_code == 202, response.text
    result: dict[str, object] = response.json()
    return result


def test_progress_comes_as_events(pair: Pair, tones: dict[str, Path]) -> None:
    headers = {"Last-Event-ID": "999999"}
    events: list[tuple[str, dict[str, object]]] = []
    with httpx.stream("GET", f"{pair.second.api}/events", headers=headers, timeout=30) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        sender: list[dict[str, object]] = []
        thread = threading.Thread(target=lambda: sender.append(send(pair.first, tones["both"])))
        kind = ""
        for line in response.iter_lines():
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                events.append((kind, json.loads(line.removeprefix("data: "))))
                if len(events) == 1:
                    thread.start()
                kinds = {name for name, _ in events[1:]}
                states = [data["state"] for name, data in events if name == "job"]
                if "done" in states and "library" in kinds:
                    break
        thread.join()
    assert events[0][0] == "hello"
    (result,) = sender
    jobs = [data for name, data in events if name == "job"]
    job = httpx.get(f"{pair.first.api}/jobs/{result['job']['id']}").json()  # type: ignore[index]
    assert jobs[-1] == job
    httpx.delete(f"{pair.first.api}/tracks/{result['track']['id']}")  # type: ignore[index]


def test_a_delete_in_one_process_holds_in_the_other_at_once(
    pair: Pair, tones: dict[str, Path]
) -> None:
    for name in ("low", "middle", "high"):
        track = send(pair.first, tones[name])["track"]
        track_id = track["id"]  # type: ignore[index]
        search = f"{pair.second.api}/search?q=tone&limit=100&level="
        with httpx.Client(timeout=30) as client:

            def found(level: str) -> bool:
                items = client.get(search + level).json()["items"]  # noqa: B023
                return track_id in [hit["track"]["id"] for hit in items]  # noqa: B023

            eventually(lambda: found("track"))
            assert client.delete(f"{pair.first.api}/tracks/{track_id}").status_code == 204
            assert not found("track")
            assert not found("passage")


def test_a_worker_of_its_own_does_the_jobs(
    tmp_path: Path, sqlite_url: str, tones: dict[str, Path]
) -> None:
    env = environment(tmp_path / "data", sqlite_url, WORKER="off")
    with serving(env) as server:
        job = send(server, tones["low"])["job"]
        worker = subprocess.Popen(
            [sys.executable, "-m", "muquery", "worker"],
            env=env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        try:
            address = f"{server.api}/jobs/{job['id']}"  # type: ignore[index]
            eventually(lambda: httpx.get(address).json()["state"] == "done", 60.0)
            worker.send_signal(signal.SIGTERM)
            output, _ = worker.communicate(timeout=20)
        finally:
            worker.kill()
        assert worker.returncode == 0, output
        assert "Traceback" not in output


@pytest.mark.parametrize("declared", [True, False], ids=["content-length", "chunked"])
@pytest.mark.parametrize("size_bytes", [3_000_001, 20_000_000])
def test_the_413_reaches_a_client_that_is_still_sending(
    pair: Pair, declared: bool, size_bytes: int
) -> None:
    head = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
    body = head + b"\0" * size_bytes + b"\r\n--x--\r\n"
    pieces = (body[start : start + 65_536] for start in range(0, len(body), 65_536))
    response = httpx.post(
        f"{pair.first.api}/tracks",
        content=body if declared else pieces,
        headers={"Content-Type": "multipart/form-data; boundary=x"},
        timeout=30,
    )
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "too_large"


def test_an_upload_that_breaks_off_leaves_nothing(pair: Pair, tones: dict[str, Path]) -> None:
    before = httpx.get(f"{pair.first.api}/tracks").json()["total"]
    host, port = pair.first.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall(
            f"POST {API}/tracks HTTP/1.1\r\nHost: {host}\r\nContent-Length: 900000\r\n"
            "Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n"
            'Content-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'.encode()
            + tones["low"].read_bytes()[:50_000]
        )
    assert httpx.get(f"{pair.first.api}/health/live").is_success
    assert httpx.get(f"{pair.first.api}/tracks").json()["total"] == before
    assert "Traceback" not in "".join(pair.first.output)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_server_stops_in_order_although_someone_listens(
    tmp_path: Path, sqlite_url: str, number: signal.Signals
) -> None:
    with serving(environment(tmp_path / "data", sqlite_url)) as server:
        with httpx.stream("GET", f"{server.api}/events", timeout=30) as response:
            lines = response.iter_lines()
            assert next(lines).startswith("retry")
            code = server.stop(number)
            assert all("error" not in line for line in lines)
        assert code in (0, -number)
        assert "Traceback" not in "".join(server.output)
