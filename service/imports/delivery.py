"""Sends the messages of ended batches, again and later while nobody takes them.

A message waits in SQL, so that a restart forgets none; the row is marked before each try, so that
two processes do not send at once. A receiver may still get a message twice (a kill between the
answer and its note): `Muquery-Delivery` stays the same over all tries.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import threading
import time
from dataclasses import dataclass
from datetime import timedelta

import httpx
from sqlalchemy import select
from sqlalchemy.orm import Session

from service.database.engine import Database, database_now
from service.database.import_tables import DeliveryState, Import, WebhookDelivery
from service.imports.errors import WebhookNotAllowed
from service.imports.webhooks import (
    DELIVERY_HEADER,
    EVENT_HEADER,
    SIGNATURE_HEADER,
    AddressRefused,
    Endpoint,
    WebhookRules,
    sign,
)

logger = logging.getLogger(__name__)

PAUSES_S = (10.0, 60.0, 300.0, 1800.0, 7200.0, 21600.0)
"""Before the second try, the third, …; after the last the message is given up."""

TRY_S = 15.0
"""All that one try may take."""

_CLAIM_S = 60.0
_AFTER_ERROR_S = 5.0
_GONE = 410


@dataclass(frozen=True)
class Message:
    """One try's worth of a delivery."""

    delivery_id: str
    attempt: int
    url: str
    secret: str
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What came of a try: a status, or a stable code of why there was none."""

    status: int | None
    error: str | None

    @property
    def is_taken(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class WebhookSender:
    """Sends what is due, in a thread of its own: a slow receiver holds up nothing else."""

    def __init__(
        self,
        database: Database,
        rules: WebhookRules,
        *,
        poll_s: float = 1.0,
        agent: str = "muquery",
    ) -> None:
        self._database = database
        self._rules = rules
        self._poll_s = poll_s
        self._agent = agent
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self.run, name="webhooks", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End after the try that runs; safe without `start`."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def run(self) -> None:
        """Send until asked to stop."""
        while not self._stop.is_set():
            try:
                busy = self.send_one()
            except Exception:
                logger.exception("webhooks could not be looked for; trying again shortly")
                self._stop.wait(_AFTER_ERROR_S)
                continue
            if not busy:
                self._stop.wait(self._poll_s)

    def send_one(self) -> bool:
        """Try the message that is due longest; False when none is."""
        message = self._claim()
        if message is None:
            return False
        began = time.monotonic()
        answer = self._try(message)
        self._note(message, answer, round(1000 * (time.monotonic() - began)))
        return True

    def _claim(self) -> Message | None:
        with self._database.write() as session:
            now = database_now(session)
            row = session.execute(
                select(WebhookDelivery, Import.webhook_url, Import.webhook_secret)
                .join(Import, Import.id == WebhookDelivery.import_id)
                .where(
                    WebhookDelivery.state == DeliveryState.PENDING, WebhookDelivery.next_at <= now
                )
                .order_by(WebhookDelivery.next_at)
                .limit(1)
                .with_for_update(skip_locked=True, of=WebhookDelivery)
            ).one_or_none()
            if row is None:
                return None
            delivery, url, secret = row
            assert url is not None, "only a webhook's batch has messages"
            assert secret is not None, "a webhook always has a secret"
            delivery.attempts += 1
            delivery.next_at = now + timedelta(seconds=_CLAIM_S)
            return Message(delivery.id, delivery.attempts, url, secret, delivery.body.encode())

    def _try(self, message: Message) -> Answer:
        try:
            endpoint = self._rules.locate(message.url)
            return asyncio.run(self._post(endpoint, message))
        except AddressRefused as refused:
            return Answer(None, refused.code)
        except WebhookNotAllowed as refused:  # the settings have changed since
            return Answer(None, refused.code)
        except TimeoutError:
            return Answer(None, "timeout")
        except httpx.HTTPError as error:
            return Answer(None, _reason(error))
        except OSError as error:
            logger.warning("the trusted certificates cannot be read: errno %s", error.errno)
            return Answer(None, "tls_failed")

    async def _post(self, endpoint: Endpoint, message: Message) -> Answer:
        """One request to the checked address itself; the answer's body is not read."""
        timestamp_s = int(time.time())
        headers = {
            "Host": _host_header(endpoint),
            "Content-Type": "application/json",
            "User-Agent": self._agent,
            EVENT_HEADER: "import.ended",
            DELIVERY_HEADER: message.delivery_id,
            SIGNATURE_HEADER: sign(message.secret, timestamp_s, message.body),
        }
        url = httpx.URL(endpoint.url).copy_with(host=endpoint.address)
        # Trust what the environment trusts (SSL_CERT_FILE, SSL_CERT_DIR), but use no proxy of it:
        # that would resolve the name once more, and not check it.
        trusted = httpx.create_ssl_context()
        async with (
            asyncio.timeout(TRY_S),
            httpx.AsyncClient(
                verify=trusted, trust_env=False, follow_redirects=False, timeout=TRY_S
            ) as client,
            client.stream(
                "POST",
                url,
                content=message.body,
                headers=headers,
                extensions={"sni_hostname": endpoint.host},
            ) as response,
        ):
            error = "redirected" if response.is_redirect else None
            return Answer(response.status_code, error)

    def _note(self, message: Message, answer: Answer, took_ms: int) -> None:
        with self._database.write() as session:
            delivery = session.scalar(
                select(WebhookDelivery)
                .where(
                    WebhookDelivery.id == message.delivery_id,
                    WebhookDelivery.attempts == message.attempt,
                )
                .with_for_update()
            )
            if delivery is not None:  # else its import was forgotten meanwhile
                _record(session, delivery, answer, took_ms)
        logger.info("webhook %s: %s", message.delivery_id, answer.status or answer.error)


def _record(session: Session, delivery: WebhookDelivery, answer: Answer, took_ms: int) -> None:
    now = database_now(session)
    entry = {
        "at": now.isoformat(),
        "status": answer.status,
        "error": answer.error,
        "took_ms": took_ms,
    }
    delivery.log = [*delivery.log, entry]
    if answer.is_taken:
        delivery.state = DeliveryState.DELIVERED
    elif delivery.attempts > len(PAUSES_S) or answer.status == _GONE:
        delivery.state = DeliveryState.FAILED
    else:
        delivery.next_at = now + timedelta(seconds=PAUSES_S[delivery.attempts - 1])


def _reason(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "timeout"
    cause = _tls_error(error)
    if cause is not None:
        is_certificate = isinstance(cause, ssl.SSLCertVerificationError)
        return "certificate_not_trusted" if is_certificate else "tls_failed"
    if isinstance(error, httpx.ConnectError):
        return "no_connection"
    return "no_answer"


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """What TLS itself said, below the errors of the layers above it."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error


def _host_header(endpoint: Endpoint) -> str:
    shown = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
    usual = 443 if endpoint.url.startswith("https:") else 80
    return shown if endpoint.port == usual else f"{shown}:{endpoint.port}"
