"""A page of another site in a real browser: its preflights, and what it may read."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome

from tests.support.process import environment, run_muquery, serving

pytestmark = pytest.mark.browser

# What a site's own page would do: a call that needs a preflight, with a key in a header.
FETCH = """
const [url, key, done] = arguments;
fetch(url, {method: "PATCH", body: "{}",
            headers: {"Authorization": `Bearer ${key}`, "Content-Type": "application/json"}})
  .then(async (answer) => done({status: answer.status, id: answer.headers.get("X-Request-Id"),
                                body: await answer.json()}))
  .catch((error) => done({refused: String(error)}));
"""


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!doctype html><title>another site</title>")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


@contextmanager
def another_site() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Page) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def fetch(browser: Chrome, url: str, key: str) -> dict[str, Any]:
    found: dict[str, Any] = browser.execute_async_script(FETCH, url, key)
    return found


def test_a_named_site_may_call_and_another_may_not(browser: Chrome, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'muquery.sqlite3'}"
    with another_site() as named, another_site() as stranger:
        env = environment(tmp_path / "data", url, REQUIRE_KEY="true", CORS_ORIGINS=named)
        key = run_muquery("key", "create", "--scope", "write", env=env).stdout.strip()
        with serving(env) as server:
            browser.set_script_timeout(60)
            track = f"{server.api}/tracks/{'0' * 26}"
            browser.get(named)
            allowed = fetch(browser, track, key)
            assert (allowed["status"], allowed["body"]["error"]["code"]) == (404, "track_not_found")
            assert allowed["id"] == allowed["body"]["error"]["request_id"]
            assert fetch(browser, track, "mq_wrong")["status"] == 401
            browser.get(stranger)
            assert "refused" in fetch(browser, track, key)
