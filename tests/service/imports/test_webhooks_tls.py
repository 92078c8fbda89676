"""Webhooks over real TLS: certificates that are trusted, and those that must not be."""

from __future__ import annotations

import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from service.database.engine import Database
from service.imports.delivery import WebhookSender
from service.imports.webhooks import WebhookRules
from tests.support.batches import Batches
from tests.support.library import Library

PRIVATE = WebhookRules(allow_private=True)
OPENSSL = shutil.which("openssl")
# `localhost` is ::1 or 127.0.0.1, as the machine has it.
FAMILY, _, _, _, (ADDRESS, *_) = socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)[0]

pytestmark = pytest.mark.skipif(
    OPENSSL is None, reason="SKIPPED LOUDLY: no openssl to make certificates, TLS is NOT tested"
)

MakeCertificate = Callable[..., Path]


@pytest.fixture(scope="module")
def make_certificate(tmp_path_factory: pytest.TempPathFactory) -> MakeCertificate:
    """Makes a self-signed certificate with its key in one file."""
    folder = tmp_path_factory.mktemp("certificates")

    def make(name: str, *, names: str = "DNS:localhost,IP:127.0.0.1,IP:::1") -> Path:
        path, key = folder / f"{name}.pem", folder / f"{name}.key"
        subprocess.run(
            [
                str(OPENSSL), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
                "-keyout", str(key), "-out", str(path),
                "-subj", f"/CN={name}", "-addext", f"subjectAltName={names}",
            ],
            check=True,
            capture_output=True,
        )  # fmt: skip
        path.write_text(path.read_text() + key.read_text())
        return path

    return make


@contextmanager
def https_server(certificate: Path) -> Iterator[tuple[int, list[dict[str, str]]]]:
    """A server where `localhost` leads first, and the headers of what it was sent."""
    got: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            got.append(dict(self.headers))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        address_family = FAMILY

        def handle_error(self, *_: object) -> None:
            """A client that breaks the handshake off is what these tests are about."""

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server = Server((ADDRESS, 0), Handler)
    server.socket = context.wrap_socket(
        server.socket, server_side=True, do_handshake_on_connect=False
    )
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1], got
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def deliver(batches: Batches, database: Database, url: str) -> tuple[str, str | None]:
    """End a batch, send its message once; the delivery's state, and what its try says."""
    import_id = batches.start_upload(webhook_url=url)
    batches.imports.cancel(import_id)
    assert WebhookSender(database, PRIVATE).send_one()
    (delivery,) = batches.view(import_id).deliveries
    return delivery.state, delivery.log[0]["error"]


@pytest.fixture
def told(library: Library, music: Path) -> Batches:
    return Batches(library, music, rules=PRIVATE)


def test_a_certificate_that_the_environment_trusts_is_enough(
    told: Batches,
    database: Database,
    make_certificate: MakeCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate = make_certificate("own")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    # A proxy of the environment would have to be trusted to look at the address: none is used.
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with https_server(certificate) as (port, got):
        for host in ("localhost", f"[{ADDRESS}]" if ":" in ADDRESS else ADDRESS):
            assert deliver(told, database, f"https://{host}:{port}/hook") == ("delivered", None)
            headers = got.pop()
            assert headers["Host"] == f"{host}:{port}"
            assert headers["Muquery-Signature"].startswith("t=")


def test_a_certificate_that_nobody_vouches_for_is_refused_and_said(
    told: Batches,
    database: Database,
    make_certificate: MakeCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    refused = ("pending", "certificate_not_trusted")
    with https_server(make_certificate("own")) as (port, got):
        assert deliver(told, database, f"https://localhost:{port}/hook") == refused
        monkeypatch.setenv("SSL_CERT_FILE", str(make_certificate("another")))
        assert deliver(told, database, f"https://localhost:{port}/hook") == refused
        assert got == [], "nothing was sent to it"


def test_a_certificate_for_another_name_is_refused(
    told: Batches,
    database: Database,
    make_certificate: MakeCertificate,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    certificate = make_certificate("elsewhere", names="DNS:elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with https_server(certificate) as (port, got):
        answer = deliver(told, database, f"https://localhost:{port}/hook")
        assert answer == ("pending", "certificate_not_trusted")
        assert got == []


def test_what_is_no_tls_and_a_trust_store_that_is_not_there_are_said(
    told: Batches,
    database: Database,
    make_certificate: MakeCertificate,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    class Plain(ThreadingHTTPServer):
        address_family = FAMILY

    plain = Plain((ADDRESS, 0), BaseHTTPRequestHandler)
    thread = threading.Thread(target=plain.serve_forever, args=(0.02,))
    thread.start()
    try:
        port = plain.server_address[1]
        answer = deliver(told, database, f"https://localhost:{port}/hook")
        assert answer == ("pending", "tls_failed")
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "nothing.pem"))
        answer = deliver(told, database, f"https://localhost:{port}/hook")
        assert answer == ("pending", "tls_failed")
    finally:
        plain.shutdown()
        thread.join()
        plain.server_close()
