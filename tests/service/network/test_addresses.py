"""Whose address a request has, behind honest and dishonest proxies."""

import pytest

from service.network.addresses import TrustedProxies, limit_group
from service.network.origins import parse_origins

PROXIES = TrustedProxies.parse("10.0.0.0/8, 192.168.1.1,fd00::/8")


@pytest.mark.parametrize(
    ("peer", "headers", "expected"),
    [
        ("203.0.113.9", [], "203.0.113.9"),
        ("203.0.113.9", ["1.2.3.4"], "203.0.113.9"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6, 198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["198.51.100.7, 10.9.9.9, 192.168.1.1"], "198.51.100.7"),
        ("10.0.0.1", ["6.6.6.6", "198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
        ("10.0.0.1", ["6.6.6.6, nonsense"], "10.0.0.1"),
        ("10.0.0.1", ["6.6.6.6, nonsense, 10.0.0.2"], "10.0.0.2"),
        ("10.0.0.1", ["198.51.100.7:4711"], "198.51.100.7"),
        ("10.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("10.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("::ffff:10.0.0.1", ["198.51.100.7"], "198.51.100.7"),
        ("10.0.0.1", ["::ffff:198.51.100.7"], "198.51.100.7"),
        ("fd00::1", ["198.51.100.7"], "198.51.100.7"),
        ("192.168.1.2", ["198.51.100.7"], "192.168.1.2"),
        ("fe80::1%eth0", [], "fe80::1"),
        (None, ["198.51.100.7"], "unknown"),
        ("testclient", ["198.51.100.7"], "unknown"),
    ],
)
def test_the_caller_is_the_right_most_address_that_is_not_ours(
    peer: str | None, headers: list[str], expected: str
) -> None:
    assert PROXIES.client_address(peer, headers) == expected


def test_without_trusted_proxies_nobody_is_believed() -> None:
    assert TrustedProxies.parse("").client_address("127.0.0.1", ["1.2.3.4"]) == "127.0.0.1"


def test_a_long_chain_is_read_from_its_end_only() -> None:
    header = ", ".join(["6.6.6.6"] + ["10.0.0.2"] * 10_000)
    assert PROXIES.client_address("10.0.0.1", [header]) == "10.0.0.2"


@pytest.mark.parametrize("text", ["10.0.0.1/8", "proxy.example", "10.0.0.0/99"])
def test_what_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear|has host bits"):
        TrustedProxies.parse(text)


@pytest.mark.parametrize(
    ("address", "group"),
    [
        ("198.51.100.7", "198.51.100.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:3::9", "2001:db8:1:3::/64"),
        ("unknown", "unknown"),
    ],
)
def test_an_ipv6_network_counts_as_one_caller(address: str, group: str) -> None:
    assert limit_group(address) == group


def test_origins_take_the_form_that_browsers_send() -> None:
    text = " https://Music.Example.org:443/ ,http://localhost:3000, http://[::1]:80 "
    assert parse_origins(text) == {
        "https://music.example.org",
        "http://localhost:3000",
        "http://[::1]",
    }
    assert parse_origins("*") == {"*"}
    assert parse_origins("") == frozenset()


@pytest.mark.parametrize(
    "text",
    [
        "music.example.org", "https://*.example.org", "https://a.example/path", "null",
        "ftp://a.b", "https://user@a.example", "https://a.example?x", "https://",
    ],
)  # fmt: skip
def test_what_would_never_match_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="origin"):
        parse_origins(text)
