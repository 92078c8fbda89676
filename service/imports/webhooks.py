"""Which addresses a webhook may have, and how a message to it is signed.

    Muquery-Signature: t=1700000000,v1=<hex of HMAC-SHA256(secret, "1700000000." + body)>

A webhook makes this service call an address that a client chose. So the address is https (or a
host that a setting names), no redirect is followed, every address that its name resolves to must
be public, and the connection goes to the very address that was checked.
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from urllib.parse import urlsplit

from service.imports.errors import WebhookNotAllowed

SIGNATURE_HEADER = "Muquery-Signature"
EVENT_HEADER = "Muquery-Event"
DELIVERY_HEADER = "Muquery-Delivery"

_MAX_URL_CHARS = 2000
_NAT64 = ipaddress.ip_network("64:ff9b::/96")
_PORTS = {"https": 443, "http": 80}


class AddressRefused(Exception):
    """The name leads to an address that must not be called, or to none; `code` says which."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class Endpoint:
    """Where to connect: `address` is the checked one, `host` the name for TLS and Host."""

    url: str
    host: str
    port: int
    address: str


@dataclass(frozen=True)
class WebhookRules:
    """What the settings allow beyond public https addresses."""

    http_hosts: frozenset[str] = frozenset()
    allow_private: bool = False

    def check(self, url: str) -> None:
        """Raise WebhookNotAllowed for what can be refused without asking the network."""
        host, _ = self._split(url)
        try:
            literal = ipaddress.ip_address(host)
        except ValueError:
            return
        if not self._may_call(literal):
            raise WebhookNotAllowed("A webhook's address must be a public one.")

    def locate(self, url: str) -> Endpoint:
        """The address to call now; raises AddressRefused, WebhookNotAllowed. Asks the resolver."""
        host, port = self._split(url)
        try:
            answers = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            raise AddressRefused("name_not_found") from None
        addresses = [str(answer[4][0]) for answer in answers]
        for address in addresses:
            if not self._may_call(ipaddress.ip_address(address.partition("%")[0])):
                raise AddressRefused("address_not_public")
        return Endpoint(url, host, port, addresses[0])

    def _split(self, url: str) -> tuple[str, int]:
        if len(url) > _MAX_URL_CHARS or not url.isascii() or not url.isprintable() or " " in url:
            raise WebhookNotAllowed("A webhook's address is a URL of up to 2,000 characters.")
        try:
            parts = urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            raise WebhookNotAllowed("A webhook's address is a URL.") from None
        if not host or parts.username is not None or parts.password is not None or parts.fragment:
            raise WebhookNotAllowed("A webhook's address names a host, and no user or fragment.")
        if parts.scheme != "https" and not (parts.scheme == "http" and host in self.http_hosts):
            raise WebhookNotAllowed("A webhook's address begins with https://.")
        return host, port or _PORTS[parts.scheme]

    def _may_call(self, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
        return self.allow_private or all(_is_public(each) for each in _meanings(address))


def new_secret() -> str:
    return "whsec_" + secrets.token_urlsafe(32)


def sign(secret: str, timestamp_s: int, body: bytes) -> str:
    """The value of the signature's header."""
    digest = hmac.new(secret.encode(), f"{timestamp_s}.".encode() + body, hashlib.sha256)
    return f"t={timestamp_s},v1={digest.hexdigest()}"


def _is_public(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _meanings(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """The address itself, or the IPv4 addresses that an IPv6 one stands for."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner = [each for each in (address.ipv4_mapped, address.sixtofour) if each is not None]
    if address.teredo is not None:
        inner.extend(address.teredo)
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [*inner] or [address]
