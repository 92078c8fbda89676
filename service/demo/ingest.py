"""The demo library: freely licensed pieces put into an empty library, once.

Offered once per database (`demo_offered` in service_state), so that a person who deletes these
tracks does not find them back after the next start.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from service.database.engine import Database
from service.database.tables import ServiceState, Track
from service.errors import MuqueryError
from service.inference.encoder import EncoderHandle
from service.ingest.upload import UploadService

log = logging.getLogger(__name__)

LIBRARY_DIR = Path(__file__).parent / "library"
METADATA_FILE = "library.json"
OFFERED = "demo_offered"
_BEGUN, _DONE = "begun", "done"
_FIELDS = ("title", "artist", "album", "genre", "year", "licence", "attribution", "extra")


def offer_demo_library(
    database: Database,
    encoder: EncoderHandle,
    uploads: UploadService,
    folder: Path = LIBRARY_DIR,
    *,
    stopping: Callable[[], bool] = lambda: False,
) -> int:
    """Upload the pieces if the library is empty and they were never offered; how many went in.

    Waits for the model, because a job names its model. For a thread of its own: logs, never raises
    what a single piece raises. When it is `stopping`, the next start goes on.
    """
    pieces = read_library(folder)
    if not pieces:
        return 0
    try:
        encoder.wait()
    except Exception:  # noqa: BLE001 - whoever loads the model reports why
        log.warning("the demo library waits for a start with a model that loads")
        return 0
    if not _begin(database):
        return 0
    added = 0
    for path, values in pieces:
        if stopping():
            return added
        try:
            added += not uploads.upload_file(path, values=values).duplicate
        except (MuqueryError, OSError):
            log.exception("could not add %s of the demo library", path.name)
    _end(database)
    log.info("put %d pieces of the demo library into the empty library", added)
    return added


def read_library(folder: Path) -> list[tuple[Path, dict[str, Any]]]:
    """The pieces of a folder and their metadata, in the order of its library.json.

    The file is {"tracks": [{"file": name, "title": ..., ...}]}, or that list itself; keys that are
    no field of a track are kept in `extra`.
    """
    listing = folder / METADATA_FILE
    if not listing.is_file():
        return []
    content = json.loads(listing.read_text(encoding="utf-8"))
    entries = content["tracks"] if isinstance(content, dict) else content
    pieces = []
    for entry in entries:
        path = folder / Path(str(entry["file"])).name
        if path.is_file():
            pieces.append((path, _values(entry)))
    return pieces


def _values(entry: dict[str, Any]) -> dict[str, Any]:
    values = {name: entry[name] for name in _FIELDS if entry.get(name) is not None}
    rest = {k: v for k, v in entry.items() if k not in _FIELDS and k != "file" and v is not None}
    return values | {"extra": {**rest, **values.get("extra", {}), "demo": True}}


def _begin(database: Database) -> bool:
    """Whether to go on; also True after a process was killed in the middle of it."""
    with database.write() as session:
        offer = session.get(ServiceState, OFFERED)
        if offer is not None:
            return offer.value == _BEGUN
        if session.scalar(select(func.count()).select_from(Track)):
            return False
        session.add(ServiceState(key=OFFERED, value=_BEGUN))
        return True


def _end(database: Database) -> None:
    with database.write() as session:
        session.merge(ServiceState(key=OFFERED, value=_DONE))
