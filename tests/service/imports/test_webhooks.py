"""The end of a batch is told, signed, to addresses that may be called, until it is heard."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import WebhookDelivery
from service.imports.delivery import PAUSES_S, WebhookSender
from service.imports.errors import WebhookNotAllowed
from service.imports.service import Wanted
from service.imports.webhooks import AddressRefused, WebhookRules, sign
from tests.support.batches import Batches
from tests.support.library import Library

SECRET = "a-secret-of-the-test"
HERE = WebhookRules(frozenset({"127.0.0.1", "localhost"}), allow_private=True)


@dataclass
class Receiver:
    """A server that notes what it gets and answers with the next of `statuses` (then 204)."""

    port: int = 0
    statuses: list[int] = field(default_factory=list)
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook?x=1"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.got.append((self.path, dict(self.headers), body))
            status = found.statuses.pop(0) if found.statuses else 204
            self.send_response(status)
            if status == 302:
                self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    yield found
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def told(library: Library, music: Path) -> Batches:
    """Batches whose webhooks may call this machine."""
    return Batches(library, music, rules=HERE)


def make_due(database: Database) -> None:
    with database.write() as session:
        past = datetime.now(UTC) - timedelta(days=1)
        session.execute(sa.update(WebhookDelivery).values(next_at=past))


def test_a_batch_s_end_is_told_and_signed(
    told: Batches, database: Database, receiver: Receiver
) -> None:
    told.write_tone("a.wav")
    import_id = told.start(webhook_url=receiver.url, webhook_secret=SECRET, reference="mine")
    sender = WebhookSender(database, HERE)
    told.take_in()
    assert not sender.send_one(), "it has not ended"
    told.finish()
    assert sender.send_one()
    assert not sender.send_one()
    ((path, headers, body),) = receiver.got
    assert path == "/hook?x=1"
    assert headers["Host"] == f"127.0.0.1:{receiver.port}"
    assert headers["Content-Type"] == "application/json"
    assert headers["Muquery-Event"] == "import.ended"
    stamp, signature = headers["Muquery-Signature"].split(",")
    signed = stamp.removeprefix("t=").encode() + b"." + body
    wanted = hmac.new(SECRET.encode(), signed, hashlib.sha256).hexdigest()
    assert signature == f"v1={wanted}"
    message = json.loads(body)
    assert message["delivery_id"] == headers["Muquery-Delivery"]
    assert message["import"]["id"] == import_id
    assert message["import"]["reference"] == "mine"
    assert message["import"]["counts"]["done"] == 1
    (delivery,) = told.view(import_id).deliveries
    assert (delivery.state, delivery.attempts) == ("delivered", 1)
    assert (delivery.log[0]["status"], delivery.log[0]["error"]) == (204, None)


def test_a_cancelled_batch_is_told_too(
    told: Batches, database: Database, receiver: Receiver
) -> None:
    import_id = told.start_upload(webhook_url=receiver.url)
    told.imports.cancel(import_id)
    assert WebhookSender(database, HERE).send_one()
    assert json.loads(receiver.got[0][2])["import"]["state"] == "cancelled"


def test_it_is_tried_again_later_also_after_a_restart(
    told: Batches, database: Database, receiver: Receiver
) -> None:
    receiver.statuses = [500, 302, 200]
    import_id = told.start_upload(webhook_url=receiver.url)
    told.imports.cancel(import_id)
    for tried in range(1, 4):
        sender = WebhookSender(database, HERE)  # nothing is remembered but in SQL
        assert sender.send_one()
        (delivery,) = told.view(import_id).deliveries
        assert delivery.attempts == tried
        assert not sender.send_one(), "not before its time"
        make_due(database)
    assert delivery.state == "delivered"
    assert [entry["status"] for entry in delivery.log] == [500, 302, 200]
    assert delivery.log[1]["error"] == "redirected"
    assert [path for path, _, _ in receiver.got] == ["/hook?x=1"] * 3, "no redirect is followed"
    assert len({headers["Muquery-Delivery"] for _, headers, _ in receiver.got}) == 1
    assert len({body for _, _, body in receiver.got}) == 1


def test_it_is_given_up_in_the_end(told: Batches, database: Database, receiver: Receiver) -> None:
    receiver.statuses = [503] * 20
    import_id = told.start_upload(webhook_url=receiver.url)
    told.imports.cancel(import_id)
    sender = WebhookSender(database, HERE)
    while sender.send_one():
        make_due(database)
        (delivery,) = told.view(import_id).deliveries
        if delivery.state != "pending":
            break
    assert (delivery.state, delivery.attempts) == ("failed", len(PAUSES_S) + 1)
    assert len(receiver.got) == len(PAUSES_S) + 1
    assert not sender.send_one()


def test_gone_means_gone(told: Batches, database: Database, receiver: Receiver) -> None:
    receiver.statuses = [410]
    import_id = told.start_upload(webhook_url=receiver.url)
    told.imports.cancel(import_id)
    WebhookSender(database, HERE).send_one()
    assert told.view(import_id).deliveries[0].state == "failed"


def test_nobody_there_is_logged(told: Batches, database: Database, receiver: Receiver) -> None:
    closed = receiver.url.replace(str(receiver.port), "1")
    import_id = told.start_upload(webhook_url=closed)
    told.imports.cancel(import_id)
    WebhookSender(database, HERE).send_one()
    (delivery,) = told.view(import_id).deliveries
    assert delivery.state == "pending"
    assert delivery.log[0]["error"] == "no_connection"


def test_what_was_allowed_once_is_checked_again_when_it_is_sent(
    told: Batches, database: Database, receiver: Receiver
) -> None:
    import_id = told.start_upload(webhook_url=receiver.url)
    told.imports.cancel(import_id)
    strict = WebhookRules(HERE.http_hosts, allow_private=False)
    WebhookSender(database, strict).send_one()
    assert receiver.got == []
    assert told.view(import_id).deliveries[0].log[0]["error"] == "address_not_public"


def test_the_secret_is_given_once(told: Batches, receiver: Receiver) -> None:
    made = told.imports.create(Wanted(webhook_url=receiver.url, reference="r"))
    assert made.webhook_secret
    assert made.webhook_secret.startswith("whsec_")
    assert (
        told.imports.create(Wanted(webhook_url=receiver.url, reference="r")).webhook_secret is None
    )
    assert told.imports.create(Wanted()).webhook_secret is None


@pytest.mark.parametrize(
    "url",
    [
        "http://example.org/",
        "ftp://example.org/",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "https://user:password@example.org/",
        "https://user@example.org/",
        "https://example.org/#part",
        "https://example.org:99999/",
        "https://exa mple.org/",
        "https://exämple.org/",
        "https://example.org/\n",
        "https://" + "a" * 3000,
        "https://127.0.0.1/",
        "https://10.0.0.1/",
        "https://192.168.1.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://100.64.0.1/",
        "https://0.0.0.0/",
        "https://224.0.0.1/",
        "https://[::1]/",
        "https://[fe80::1]/",
        "https://[fd00::1]/",
        "https://[::ffff:127.0.0.1]/",
        "https://[64:ff9b::7f00:1]/",
        "https://[2002:7f00:1::]/",
        "nonsense",
        "",
    ],
)
def test_addresses_that_are_refused_at_once(url: str) -> None:
    with pytest.raises(WebhookNotAllowed):
        WebhookRules().check(url)


def test_addresses_that_are_taken() -> None:
    rules = WebhookRules(frozenset({"inside.example"}))
    for url in (
        "https://example.org/hook?x=1",
        "https://example.org:8443/",
        "https://93.184.216.34/",
        "http://inside.example/hook",
    ):
        rules.check(url)
    with pytest.raises(WebhookNotAllowed):
        rules.check("http://outside.example/hook")


@pytest.mark.parametrize("host", ["localhost", "127.1", "0x7f.1", "2130706433", "017700000001"])
def test_a_name_that_leads_inside_is_refused_when_it_is_called(host: str) -> None:
    with pytest.raises((AddressRefused, WebhookNotAllowed)):
        WebhookRules().locate(f"https://{host}/")


def test_the_connection_goes_to_the_address_that_was_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = iter([[(2, 1, 6, "", ("93.184.216.34", 443))], [(2, 1, 6, "", ("127.0.0.1", 443))]])
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: next(answers))
    endpoint = WebhookRules().locate("https://rebinding.example/x")
    assert (endpoint.address, endpoint.host) == ("93.184.216.34", "rebinding.example")
    with pytest.raises(AddressRefused):
        WebhookRules().locate("https://rebinding.example/x")


def test_one_private_answer_among_public_ones_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = [(2, 1, 6, "", ("93.184.216.34", 443)), (2, 1, 6, "", ("10.0.0.1", 443))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: answers)
    with pytest.raises(AddressRefused):
        WebhookRules().locate("https://mixed.example/")


def test_a_signature_covers_time_and_body() -> None:
    signature = sign(SECRET, 1_700_000_000, b"{}")
    assert signature.startswith("t=1700000000,v1=")
    assert signature != sign(SECRET, 1_700_000_001, b"{}")
    assert signature != sign(SECRET, 1_700_000_000, b"{} ")
    assert signature != sign(SECRET + "x", 1_700_000_000, b"{}")
