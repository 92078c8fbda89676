"""Whose address a request comes from, behind proxies too.

`X-Forwarded-For` can be written by anyone, so it is believed only from proxies that the settings
name, and read from the right: each trusted proxy appended the address that called it, so the
right-most one that is not itself a trusted proxy is the caller. What stands left of it is hearsay.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

MAX_HOPS = 32
_IPV6_PREFIX = 64  # what one customer is given: a limit per single address would be none


@dataclass(frozen=True)
class TrustedProxies:
    """Networks whose word about a caller's address is taken."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def parse(cls, text: str) -> TrustedProxies:
        """From addresses and networks separated by commas; raises ValueError."""
        parts = (part.strip() for part in text.split(","))
        return cls(tuple(ipaddress.ip_network(part) for part in parts if part))

    def trusts(self, address: Address) -> bool:
        return any(
            address.version == network.version and address in network for network in self.networks
        )

    def client_address(self, peer: str | None, forwarded_for: Sequence[str]) -> str:
        """The caller's address, given who connected and the X-Forwarded-For headers in order.

        "unknown" where the connection has none, as on a Unix socket.
        """
        found = _parse(peer or "")
        if found is None:
            return "unknown"
        hops = [hop for header in forwarded_for for hop in header.split(",")]
        for hop in reversed(hops[-MAX_HOPS:]):
            if not self.trusts(found):
                break
            before = _parse(hop.strip())
            if before is None:
                break
            found = before
        return str(found)


def limit_group(address: str) -> str:
    """What is counted together: an IPv4 address, or the /64 network of an IPv6 one."""
    parsed = _parse(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((parsed, _IPV6_PREFIX), strict=False))
    return address


def _parse(text: str) -> Address | None:
    """An address, without the port that some proxies add; IPv4 in IPv6 clothes as IPv4."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return mapped or parsed
