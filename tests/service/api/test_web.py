"""The page's files: types, ETags, and no way out of their folder."""

from pathlib import Path

import pytest

from service.api.web import WEB_DIR, load_static_files
from tests.service.api.conftest import Running


def test_the_page_and_everything_it_names_is_served(idle: Running) -> None:
    page = idle.client.get("/")
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<script>" not in page.text
    assert "style=" not in page.text
    for path in WEB_DIR.rglob("*.js"):
        served = idle.client.get(f"/static/{path.relative_to(WEB_DIR).as_posix()}")
        assert served.content == path.read_bytes()
        assert served.headers["content-type"] == "text/javascript; charset=utf-8"
    for name in ("css/base.css", "icon.svg"):
        assert idle.client.get(f"/static/{name}").status_code == 200


def test_an_unchanged_file_is_not_sent_again(idle: Running) -> None:
    first = idle.client.get("/static/css/base.css")
    again = idle.client.get(
        "/static/css/base.css", headers={"If-None-Match": first.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    head = idle.client.head("/")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/static/../settings.py",
        "/static/%2e%2e/settings.py",
        "/static/..%2fsettings.py",
        "/static//etc/passwd",
        "/static/js",
        "/static/",
        "/static/js/../../errors.py",
        "/static/%00",
        "/settings.py",
    ],
)
def test_nothing_else_can_be_reached(idle: Running, path: str) -> None:
    assert idle.client.get(path).status_code == 404


def test_links_and_unknown_types_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "ok.js").write_text("1")
    (tmp_path / "secret.py").write_text("2")
    (tmp_path / "link.js").symlink_to("/etc/passwd")
    assert set(load_static_files(tmp_path)) == {"ok.js"}
