"""Rates over HTTP: per key, per address, behind a proxy, and for wrong keys."""

from collections.abc import Iterator
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import httpx2
import pytest

from service.keys import Scope
from tests.service.api.conftest import Running
from tests.support.keys import Guarded, guarded_service
from tests.support.service import API

A, B = "198.51.100.1", "198.51.100.2"


class Serve(Protocol):
    def __call__(self, **changes: Any) -> AbstractContextManager[Guarded]: ...


@pytest.fixture
def serve(tmp_path: Path, sqlite_url: str) -> Serve:
    return partial(guarded_service, tmp_path / "data", sqlite_url)


@pytest.fixture
def three_searches(serve: Serve) -> Iterator[Guarded]:
    """A service that allows three searches a minute, behind a proxy at 10.0.0.1."""
    with serve(rate_search_per_min=3, trusted_proxies="10.0.0.0/8") as service:
        yield service


def search(service: Guarded, key: str | None, **headers: str) -> httpx2.Response:
    return service.call("GET", "/search?q=low", key, headers=headers)


def statuses(service: Guarded, key: str, count: int, **headers: str) -> list[int]:
    return [search(service, key, **headers).status_code for _ in range(count)]


def test_a_key_has_its_rate_wherever_it_is_used(three_searches: Guarded) -> None:
    key, other = (three_searches.make_key(Scope.READ) for _ in range(2))
    at_a, at_b = (three_searches.from_address(address) for address in (A, B))
    assert statuses(at_a, key, 2) == [200, 200]
    assert statuses(at_b, key, 2) == [200, 429]
    assert statuses(at_a, other, 3) == [200] * 3, "another key at the same address"


def test_the_answer_says_what_is_left_and_when_to_come_again(three_searches: Guarded) -> None:
    key = three_searches.make_key(Scope.READ)
    first = search(three_searches, key)
    assert first.headers["RateLimit-Policy"] == '"search";q=3;w=60'
    assert first.headers["RateLimit"] == '"search";r=2;t=20'
    statuses(three_searches, key, 2)
    refused = search(three_searches, key)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert error["code"] == "rate_limited"
    assert error["details"] == {"kind": "search", "limit_per_min": 3}
    assert 1 <= int(refused.headers["Retry-After"]) <= 20
    assert refused.headers["RateLimit"] == '"search";r=0;t=60'
    assert refused.headers["X-Content-Type-Options"] == "nosniff"


def test_kinds_of_calls_are_counted_apart(serve: Serve) -> None:
    rates = {"search": 1, "upload": 2, "model": 3, "other": 50}
    settings = {f"rate_{kind}_per_min": rate for kind, rate in rates.items()}
    with serve(**settings) as service:
        key = service.make_key(Scope.WRITE)
        calls = [
            ("search", "POST", "/search", {"json": {"query": [{"text": "low"}]}}),
            ("upload", "POST", "/tracks", {"files": {"file": b"no audio"}}),
            ("model", "POST", "/embeddings", {"json": {"texts": ["low"]}}),
        ]
        for kind, method, path, content in calls:
            for left in reversed(range(rates[kind])):
                answer = service.call(method, path, key, **content)
                assert answer.status_code != 429
                assert answer.headers["RateLimit"].startswith(f'"{kind}";r={left};')
            assert service.call(method, path, key, **content).status_code == 429
        assert service.call("GET", "/tracks", key).status_code == 200
        assert service.call("GET", "/health/live").headers.get("RateLimit") is None


def test_a_key_may_have_more_or_be_shared(three_searches: Guarded) -> None:
    greater = three_searches.make_key(Scope.READ, rate_factor=2.0)
    assert statuses(three_searches, greater, 7) == [200] * 6 + [429]
    shared = three_searches.make_key(Scope.READ, per_address=True)
    for address in (A, B):
        assert statuses(three_searches.from_address(address), shared, 4) == [200] * 3 + [429]


def test_behind_the_proxy_each_caller_counts(three_searches: Guarded) -> None:
    shared = three_searches.make_key(Scope.READ, per_address=True)
    proxy = three_searches.from_address("10.0.0.1")
    forwarded = {"X-Forwarded-For": A}
    assert statuses(proxy, shared, 3, **forwarded) == [200] * 3
    assert search(proxy, shared, **forwarded).status_code == 429
    # What the caller itself put into the header stands left of what the proxy saw.
    assert search(proxy, shared, **{"X-Forwarded-For": f"6.6.6.6, {A}"}).status_code == 429
    assert search(proxy, shared, **{"X-Forwarded-For": B}).status_code == 200


def test_who_is_no_proxy_cannot_choose_its_address(three_searches: Guarded) -> None:
    shared = three_searches.make_key(Scope.READ, per_address=True)
    direct = three_searches.from_address(A)
    answers = [
        search(direct, shared, **{"X-Forwarded-For": f"10.1.1.{n}"}).status_code for n in range(4)
    ]
    assert answers == [200, 200, 200, 429]


def test_an_ipv6_network_has_one_rate(three_searches: Guarded) -> None:
    shared = three_searches.make_key(Scope.READ, per_address=True)
    answers = [
        search(three_searches.from_address(f"2001:db8::{n}"), shared).status_code for n in range(4)
    ]
    assert answers == [200, 200, 200, 429]
    assert search(three_searches.from_address("2001:db8:0:1::"), shared).status_code == 200


def test_guessing_is_stopped_but_good_keys_at_the_address_go_on(serve: Serve) -> None:
    with serve(rate_failures_per_min=5) as service:
        good, unused = (service.make_key(Scope.READ) for _ in range(2))
        at_a = service.from_address(A)
        assert at_a.call("GET", "/tracks", good).status_code == 200
        guesses = [at_a.call("GET", "/tracks", f"mq_{n}") for n in range(7)]
        assert [guess.status_code for guess in guesses] == [401] * 5 + [429] * 2
        assert guesses[-1].json()["error"]["code"] == "too_many_failures"
        assert int(guesses[-1].headers["Retry-After"]) >= 1
        assert at_a.call("GET", "/tracks", good).status_code == 200
        # A key that was not seen there yet could be the next guess: it waits like one.
        assert at_a.call("GET", "/tracks", unused).status_code == 429
        assert service.from_address(B).call("GET", "/tracks", unused).status_code == 200


def test_a_revoked_key_is_not_remembered_as_good(serve: Serve) -> None:
    with serve(rate_failures_per_min=3) as service:
        key, admin = service.make_key(Scope.READ), service.make_key(Scope.ADMIN)
        at_a = service.from_address(A)
        assert at_a.call("GET", "/tracks", key).status_code == 200
        service.call("DELETE", f"/keys/{service.key_id(key)}", admin)
        assert [at_a.call("GET", "/tracks", key).status_code for _ in range(5)] == [401] * 3 + [
            429
        ] * 2


def test_calls_without_any_key_are_counted_too(serve: Serve) -> None:
    with serve(rate_other_per_min=3) as service:
        at_a = service.from_address(A)
        assert [at_a.call("GET", "/tracks").status_code for _ in range(5)] == [401] * 3 + [429] * 2
        assert service.from_address(B).call("GET", "/tracks").status_code == 401


def test_an_open_service_counts_addresses(serve: Serve) -> None:
    with serve(
        require_key=False, host="0.0.0.0", allow_open=True, rate_search_per_min=2
    ) as service:
        at_a, at_b = (service.from_address(address) for address in (A, B))
        assert [search(at_a, None).status_code for _ in range(3)] == [200, 200, 429]
        assert search(at_b, None).status_code == 200


def test_on_this_machine_nothing_is_counted(idle: Running) -> None:
    answer = idle.client.get(f"{API}/tracks")
    assert answer.status_code == 200
    assert "RateLimit" not in answer.headers


def test_an_upload_that_is_too_many_is_refused_before_its_body(serve: Serve) -> None:
    with serve(rate_upload_per_min=1) as service:
        key = service.make_key(Scope.WRITE)
        files = {"file": ("a.wav", b"0" * 1_000_000)}
        assert service.call("POST", "/tracks", key, files=files).status_code == 415
        assert service.call("POST", "/tracks", key, files=files).status_code == 429
        incoming = Path(service.services.settings.data_dir) / "blobs" / "incoming"
        assert list(incoming.glob("*")) == []
