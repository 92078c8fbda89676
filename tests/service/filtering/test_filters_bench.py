"""Prints what filters, facets and sorted pages of a large library cost; asserts no timing.

python -m pytest -m bench -s tests/service/filtering
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text

from service.database.engine import Database
from service.database.tables import TagLabel, Vocabulary
from service.filtering.parsing import parse_filter
from service.search.allowed import read_allowed
from service.tracks.facets import FacetService, parse_fields
from service.tracks.repository import TrackFilter, list_tracks
from tests.support.encoder import MODEL_ID

TRACKS = 100_000
LABELS = 20
ROUNDS = 3


_SERIES = (
    "WITH RECURSIVE n(i) AS "
    "(SELECT CAST(1 AS BIGINT) UNION ALL SELECT i + 1 FROM n WHERE i < :tracks) "
)
_BLOB = {"sqlite": "zeroblob({0})", "postgresql": "decode(repeat('00', {0}), 'hex')"}
_TIME = {
    "sqlite": "strftime('%Y-%m-%d %H:%M:%S.000000', 1767225600 + i, 'unixepoch')",
    "postgresql": "to_timestamp(1767225600 + i)",
}
# Numbers that look random and are the same everywhere; small ones come up more often than large.
_GENRE = "i * 7919 % 61 * (i / 7 % 60) / 60"
_ARTIST = "i * 7907 % 8000 * (i / 11 % 90) / 90"
_NAMES = {
    "title": "'Title ' || (i * 1299709 % 900000)",
    "artist": f"'Ärtist ' || ({_ARTIST})",
    "album": "'Album ' || (i * 15485863 % 20000)",
    "genre": f"CASE WHEN i % 10 > 0 THEN 'Genre ' || ({_GENRE}) END",
}


def fill(database: Database) -> None:
    """Rows made by the database itself: 100,000 of them take longer to make in Python."""
    dialect = database.engine.dialect.name
    peaks, vector = _BLOB[dialect].format(1_000), _BLOB[dialect].format(1_024)
    keys = {f"{name}_key": f"replace(lower({sql}), 'ä', 'a')" for name, sql in _NAMES.items()}
    columns = {
        "pk": "i", "id": "CAST(i AS TEXT)", "sha256": "CAST(i AS TEXT)", "size_bytes": "1",
        "filename": "'a.mp3'", "media_type": "'audio/mpeg'", "state": "'ready'", "extra": "'{}'",
        "duration_s": "30 + i * 7907 % 5700 / 10.0", "year": "1950 + i * 3571 % 76",
        "warnings": "'[]'", "peaks": peaks, "added_at": _TIME[dialect],
        "updated_at": _TIME[dialect], **_NAMES, **keys,
    }  # fmt: skip
    extra = "INSERT INTO track_extra (track_pk, key, position, kind, text, text_key, number) "
    statements = [
        f"INSERT INTO tracks ({', '.join(columns)}) {_SERIES} "
        f"SELECT {', '.join(columns.values())} FROM n",
        f"{extra} SELECT pk, 'bpm', 0, 'number', NULL, NULL, 60 + pk * 7907 % 1200 / 10.0 "
        "FROM tracks",
        f"{extra} SELECT pk, 'cleared', 0, 'boolean', NULL, NULL, pk % 2 FROM tracks",
        f"{extra} SELECT pk, 'moods', 0, 'text', 'Mood ' || (pk % 30), 'mood ' || (pk % 30), NULL "
        "FROM tracks",
        f"{extra} SELECT pk, 'moods', 1, 'text', 'Mood ' || (30 + pk % 7), "
        "'mood ' || (30 + pk % 7), NULL FROM tracks",
        "INSERT INTO track_vectors (track_pk, model_id, clip_count, vector) "
        f"SELECT pk, '{MODEL_ID}', 20, {vector} FROM tracks",
        "INSERT INTO tag_values (track_pk, label_pk, score, probability, assigned) "
        "SELECT t.pk, l.pk, 0.1, (t.pk * 7919 + l.pk * 104729) % 1000 / 1000.0, "
        "(t.pk * 7919 + l.pk * 104729) % 1000 > 900 FROM tracks t, tag_labels l",
    ]
    with database.write() as session:
        session.add(Vocabulary(name="v", version=1, content={}, is_current=True, is_default=True))
        session.add_all(
            TagLabel(model_id=MODEL_ID, vocabulary="v", version=1, group_name=f"group{i % 4}",
                     label=f"label {i}", vector=b"")
            for i in range(LABELS)
        )  # fmt: skip
        session.flush()
        for statement in statements:
            series = {"tracks": TRACKS} if "n(i)" in statement else {}
            session.execute(text(statement), series)
    if dialect == "postgresql":
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
            raw.execute(text("VACUUM ANALYZE"))


def measured(work: Callable[[], Any]) -> str:
    """Wall time, and the processor time of this process, which on SQLite is all that it takes."""
    work()
    walls, cpus = [], []
    for _ in range(ROUNDS):
        started, busy = time.perf_counter(), time.process_time()
        work()
        walls.append((time.perf_counter() - started) * 1000)
        cpus.append((time.process_time() - busy) * 1000)
    return f"{statistics.median(walls):7.0f} ms, {statistics.median(cpus):5.0f} ms of processor"


FILTERS: dict[str, Any] = {
    "everything": {"field": "state", "eq": "ready"},
    "one genre of 60": {"field": "genre", "eq": "genre 0"},
    "not that genre": {"field": "genre", "ne": "genre 0"},
    "one artist of 8,000": {"field": "artist", "eq": "artist 77"},
    "ten years": {"field": "year", "range": {"gte": 1990, "lt": 2000}},
    "bpm 118 to 122": {"field": "extra.bpm", "range": {"gte": 118, "lte": 122}},
    "not cleared": {"field": "extra.cleared", "ne": True},
    "one mood of 30": {"field": "extra.moods", "eq": "mood 7"},
    "a tag": {"field": "tags.group1", "eq": "label 1"},
    "a tag above 0.99": {"field": "tags.group1.label 1", "range": {"gt": 0.99}},
    "four together": {
        "and": [
            {"field": "genre", "in": ["genre 1", "genre 2", "genre 3"]},
            {"field": "year", "range": {"gte": 1980}},
            {"field": "extra.moods", "eq": "mood 7"},
            {"not": {"field": "tags.group2", "exists": True}},
        ]
    },
}
FACETS = [
    "genre", "artist", "album", "state", "year", "duration_s", "added_at", "extra.bpm",
    "extra.moods", "extra.cleared", "tags.group1", "tags.group1.label 1",
]  # fmt: skip


@pytest.mark.bench
def test_what_a_large_library_costs(database: Database) -> None:
    fill(database)
    print(f"\n{database.engine.dialect.name}, {TRACKS} tracks")
    for name, value in FILTERS.items():
        node = parse_filter(value)

        for with_clips in (False, True):

            def allowed(node: Any = node, with_clips: bool = with_clips) -> int:
                with database.read() as session:
                    return read_allowed(session, node, MODEL_ID, with_clips=with_clips).pks.size

            level = "passages" if with_clips else "tracks"
            print(f"filter  {name:22} {allowed():7} {level:8} {measured(allowed)}")
    facets = FacetService(database)
    for title, value in (("everything", None), ("ten years", FILTERS["ten years"])):
        wanted = TrackFilter(node=None if value is None else parse_filter(value))
        for field in FACETS:

            def facet(field: str = field, wanted: TrackFilter = wanted) -> Any:
                return facets.facets(parse_fields([field]), wanted, model_id=MODEL_ID, limit=20)

            print(f"facet   {field:22} under {title}: {measured(facet)}")
    print(f"fields  {measured(lambda: facets.fields(MODEL_ID))}")
    for sort in ("added_at", "title", "artist", "year"):

        def page(sort: Any = sort) -> Any:
            with database.read() as session:
                return list_tracks(session, sort=sort, descending=False, limit=50)

        print(f"page    by {sort:19} {measured(page)}")
