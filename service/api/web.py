"""The page at `/`: static files of one folder, read once each start, served with ETags."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from service.api.ranges import matches_etag
from service.errors import NotFound

WEB_DIR = Path(__file__).parents[1] / "web"

# Named here and not guessed: the host's registry of types may call a module text/plain.
MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".woff2": "font/woff2",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class StaticFile:
    content: bytes
    media_type: str
    etag: str


def load_static_files(folder: Path) -> dict[str, StaticFile]:
    """Every servable file under `folder` by its path; nothing else can ever be reached.

    Looking names up in a table instead of the file system leaves no way out of the folder.
    """
    files = {}
    for path in sorted(folder.rglob("*")):
        media_type = MEDIA_TYPES.get(path.suffix)
        if media_type is None or not path.is_file() or path.is_symlink():
            continue
        content = path.read_bytes()
        etag = f'"{hashlib.sha256(content).hexdigest()[:32]}"'
        files[path.relative_to(folder).as_posix()] = StaticFile(content, media_type, etag)
    return files


def web_router(folder: Path = WEB_DIR) -> APIRouter:
    """Routes of the page: `/` is index.html, `/static/...` everything."""
    files = load_static_files(folder)
    router = APIRouter(include_in_schema=False)

    @router.api_route("/", methods=["GET", "HEAD"])
    @router.api_route("/static/{path:path}", methods=["GET", "HEAD"])
    async def static_file(request: Request, path: str = "index.html") -> Response:
        found = files.get(path)
        if found is None:
            raise NotFound
        headers = {"ETag": found.etag, "Cache-Control": "no-cache"}
        if matches_etag(request.headers.get("if-none-match", ""), found.etag):
            return Response(status_code=304, headers=headers)
        return Response(found.content, media_type=found.media_type, headers=headers)

    return router
