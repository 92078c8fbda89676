"""A library of any size without music: real rows, vectors, tags, words and jobs, made in minutes.

Rows go into the tables directly; tags are what the bundle's own scorer says of the vectors, and are
written, with the words of keyword search, by the code that a worker runs. The index is not made
here: the first server that opens the library builds it from SQL and saves it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert, text

from models.interface import MusicTextEncoder
from service.blobs.local import LocalBlobStore
from service.database.engine import Database
from service.database.extra_values import extra_values
from service.database.folding import folded_key
from service.database.migrate import migrate
from service.database.tables import (
    AuditEntry,
    Clip,
    Import,
    ImportItem,
    IndexChange,
    Job,
    Track,
    TrackExtra,
    TrackVector,
)
from service.database.vectors import pack_vectors
from service.ids import new_id
from service.inference.encoder import EncoderHandle
from service.inference.thread import ModelThread
from service.tagging.tagger import TrackTagger
from tests.latency.names import MOODS, make_names
from tests.latency.vectors import Vectors, clip_counts, clip_vectors, is_copy
from tests.support.audio import write_audio
from tests.support.encoder import tone

FORM = 1
"""Raised when what is made changes, so that a kept library is made again."""

AUDIO_TRACKS = 20
AUDIO_S, SAMPLE_RATE_HZ = 30.0, 24_000
FACTS_FILE = "library.json"
_FAILED_EVERY = 500
_SAMPLE = 400
_ROWS_AT_ONCE = 5_000
_FIRST_DAY = datetime(2024, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class LibraryFacts:
    """What was made, and some of it by name: what calls ask for."""

    form: int
    model_id: str
    tracks: int
    clips: int
    tag_values: int
    made_in_s: float
    track_ids: list[str]
    copied_ids: list[str]
    audio_ids: list[str]
    artists: list[str]
    titles: list[str]
    import_id: str
    failed_job_ids: list[str]


def find_library(folder: Path, tracks: int, model_id: str) -> LibraryFacts | None:
    """What an earlier run made in this folder, if it is what this one would make."""
    try:
        facts = LibraryFacts(**json.loads((folder / FACTS_FILE).read_text(encoding="utf-8")))
    except (FileNotFoundError, TypeError, ValueError):
        return None
    wanted = (FORM, tracks, model_id)
    return facts if (facts.form, facts.tracks, facts.model_id) == wanted else None


def make_library(
    folder: Path, url: str, encoder: MusicTextEncoder, tracks: int, *, seed: int = 0
) -> LibraryFacts:
    """Fill a database, and a folder with the audio of a few of its tracks."""
    began = time.perf_counter()
    folder.mkdir(parents=True, exist_ok=True)
    migrate(url)
    database = Database(url)
    thread = ModelThread()
    try:
        maker = _Maker(database, folder, encoder, tracks, np.random.default_rng(seed))
        maker.add_tracks()
        maker.add_vectors_and_tags(
            TrackTagger(database, EncoderHandle(lambda: encoder, thread), thread)
        )
        import_id = maker.add_history()
        _refresh_statistics(database)
        facts = maker.facts(import_id, time.perf_counter() - began)
    finally:
        thread.close()
        database.dispose()
    (folder / FACTS_FILE).write_text(json.dumps(asdict(facts), indent=1), encoding="utf-8")
    return facts


class _Maker:
    def __init__(
        self,
        database: Database,
        folder: Path,
        encoder: MusicTextEncoder,
        tracks: int,
        chance: np.random.Generator,
    ) -> None:
        self._database = database
        self._folder = folder
        self._encoder = encoder
        self._chance = chance
        self._count = tracks
        self._names = make_names(tracks, chance)
        self._clips = clip_counts(tracks, chance)
        self._ids = [new_id() for _ in range(tracks)]
        self._job_ids = [new_id() for _ in range(tracks)]
        self._audio = self._store_audio()
        for copy in filter(is_copy, range(1, tracks)):
            for values in (self._names.titles, self._names.artists, self._names.albums):
                values[copy] = values[copy - 1]

    def add_tracks(self) -> None:
        """Tracks with their own metadata, and a failed one here and there."""
        numbers = range(self._count)
        self._insert(Track.__table__, (self._track(number) for number in numbers))
        values = (
            {"track_pk": number + 1, **vars(value)}
            for number in numbers
            for value in extra_values(self._extra(number))
        )
        self._insert(TrackExtra.__table__, values)

    def add_vectors_and_tags(self, tagger: TrackTagger) -> None:
        """What the analysis of each track that did not fail would have written."""
        prepared = tagger.prepare()
        for first, clips in clip_vectors(self._encoder.reference, self._clips, self._chance):
            counts = self._clips[first : first + 1_000]
            stored = clips.astype(np.float16).astype(np.float32)
            starts = np.cumsum(counts) - counts
            means = np.add.reduceat(stored, starts, axis=0) / counts[:, np.newaxis]
            means = means.astype(np.float16)
            ready = [place for place in range(len(counts)) if not _failed(first + place)]
            pks = [first + place + 1 for place in ready]
            with self._database.write() as session:
                session.execute(insert(Clip), list(self._clip_rows(clips, counts, first)))
                session.execute(insert(TrackVector), self._mean_rows(means, counts, first, ready))
                tagger.write(session, prepared, pks, means[ready])

    def add_history(self) -> str:
        """The jobs, changes, batch and audit log that such a library would have; the batch's id."""
        model_id, numbers = self._encoder.model_id, range(self._count)
        import_id = new_id()
        self._insert(Job.__table__, (self._job(number) for number in numbers))
        self._insert(
            IndexChange.__table__,
            (
                {"seq": seq, "op": "publish", "track_pk": number + 1, "model_id": model_id}
                for seq, number in enumerate((n for n in numbers if not _failed(n)), start=1)
            ),
        )
        ended = _added_at(self._count)
        batch = {
            "id": import_id, "source": "upload", "name": "everything", "state": "done",
            "listed_at": ended, "finished_at": ended, "created_at": _added_at(0),
        }  # fmt: skip
        self._insert(Import.__table__, iter([batch]))
        self._insert(ImportItem.__table__, (self._item(number, import_id) for number in numbers))
        self._insert(AuditEntry.__table__, (_audit(number) for number in range(self._count // 5)))
        return import_id

    def facts(self, import_id: str, made_in_s: float) -> LibraryFacts:
        ready = [number for number in range(self._count) if not _failed(number)]
        step = max(len(ready) // _SAMPLE, 1)
        some = ready[::step][:_SAMPLE]
        copied = [n for n in range(self._count - 1) if is_copy(n + 1) and not _failed(n)]
        labels = sum(1 for _ in self._labels())
        return LibraryFacts(
            form=FORM,
            model_id=self._encoder.model_id,
            tracks=self._count,
            clips=int(self._clips[ready].sum()),
            tag_values=len(ready) * labels,
            made_in_s=round(made_in_s, 1),
            track_ids=[self._ids[number] for number in some],
            copied_ids=[self._ids[number] for number in copied[:_SAMPLE]],
            audio_ids=self._ids[1 : len(self._audio) + 1],
            artists=sorted({self._names.artists[number] for number in some}),
            titles=[self._names.titles[number] for number in some],
            import_id=import_id,
            failed_job_ids=[self._job_ids[n] for n in range(self._count) if _failed(n)],
        )

    def _labels(self) -> Iterator[Any]:
        with self._database.read() as session:
            yield from session.execute(text("SELECT pk FROM tag_labels"))

    def _insert(self, table: Any, rows: Iterator[dict[str, Any]]) -> None:
        with self._database.write() as session:
            while some := [row for _, row in zip(range(_ROWS_AT_ONCE), rows, strict=False)]:
                session.execute(insert(table), some)

    def _store_audio(self) -> list[tuple[str, int]]:
        """(hash, bytes) of a few real files, so that audio can be listened to and heads read."""
        blobs = LocalBlobStore(self._folder / "blobs")
        stored = []
        for number in range(min(AUDIO_TRACKS, self._count - 2)):
            path = self._folder / "tone.wav"
            write_audio(path, tone(200.0 + 20 * number, AUDIO_S, SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
            with blobs.receive(1 << 24) as pending:
                pending.write(path.read_bytes())
                info = pending.finish()
                pending.place()
            stored.append((info.sha256, info.size_bytes))
            path.unlink()
        return stored

    def _track(self, number: int) -> dict[str, Any]:
        names = {
            "title": self._names.titles[number],
            "artist": self._names.artists[number],
            "album": self._names.albums[number],
            "genre": self._names.genres[number],
        }
        sha256, size_bytes = hashlib.sha256(f"track {number}".encode()).hexdigest(), 4_000_000
        if 1 <= number <= len(self._audio):
            sha256, size_bytes = self._audio[number - 1]
        failed = _failed(number)
        return {
            **names,
            **{f"{name}_key": folded_key(value) for name, value in names.items()},
            "pk": number + 1,
            "id": self._ids[number],
            "sha256": sha256,
            "size_bytes": size_bytes,
            "filename": f"{number % 20 + 1:02} {names['artist']} - {names['title']}.mp3",
            "media_type": "audio/mpeg",
            "duration_s": float(self._clips[number]) * 10.0,
            "analysed_s": None if failed else float(self._clips[number]) * 10.0,
            "year": None
            if number % 37 == 0
            else 1950 + int(76 * (number * 7919 % 997 / 997) ** 0.5),
            "extra": self._extra(number),
            "state": "failed" if failed else "ready",
            "error_code": "not_audio" if failed else None,
            "warnings": [],
            "peaks": hashlib.sha256(str(number).encode()).digest() * 31,
            "added_at": _added_at(number),
            "updated_at": _added_at(number),
        }

    def _extra(self, number: int) -> dict[str, Any]:
        return {
            "bpm": 60 + number * 7907 % 1200 / 10,
            "cleared": number % 2 == 0,
            "moods": [MOODS[number % 12], MOODS[number * 5 % 11]],
            "catalogue": f"MQ-{number:06}",
        }

    def _clip_rows(self, clips: Vectors, counts: Any, first: int) -> Iterator[dict[str, Any]]:
        packed = iter(pack_vectors(clips))
        for place, count in enumerate(counts.tolist()):
            for position in range(count):
                vector = next(packed)
                if not _failed(first + place):
                    yield {
                        "track_pk": first + place + 1,
                        "model_id": self._encoder.model_id,
                        "position": position,
                        "start_s": 10.0 * position,
                        "end_s": 10.0 * position + 10.0,
                        "vector": vector,
                    }

    def _mean_rows(
        self, means: Any, counts: Any, first: int, ready: Sequence[int]
    ) -> list[dict[str, Any]]:
        packed = pack_vectors(means)
        return [
            {
                "track_pk": first + place + 1,
                "model_id": self._encoder.model_id,
                "clip_count": int(counts[place]),
                "vector": packed[place],
            }
            for place in ready
        ]

    def _job(self, number: int) -> dict[str, Any]:
        failed, at = _failed(number), _added_at(number)
        return {
            "id": self._job_ids[number],
            "track_pk": number + 1,
            "model_id": self._encoder.model_id,
            "state": "failed" if failed else "done",
            "attempts": 1,
            "progress": 0.0 if failed else 1.0,
            "error_code": "not_audio" if failed else None,
            "created_at": at,
            "finished_at": at,
            "updated_at": at,
        }

    def _item(self, number: int, import_id: str) -> dict[str, Any]:
        failed, at = _failed(number), _added_at(number)
        return {
            "import_id": import_id,
            "item_key": f"file {number}",
            "path": f"music/{number // 20:05}/{number % 20 + 1:02}.mp3",
            "state": "failed" if failed else "done",
            "size_bytes": 4_000_000,
            "duration_s": float(self._clips[number]) * 10.0,
            "track_pk": number + 1,
            "error_code": "not_audio" if failed else None,
            "ended_at": at,
            "updated_at": at,
        }


def _failed(number: int) -> bool:
    return number % _FAILED_EVERY == _FAILED_EVERY - 2


def _year(number: int) -> int | None:
    """None here and there, and more tracks of late years."""
    return None if number % 37 == 0 else 1950 + int(76 * (number * 7919 % 997 / 997) ** 0.5)


def _added_at(number: int) -> datetime:
    return _FIRST_DAY + timedelta(minutes=10 * number)


def _audit(number: int) -> dict[str, Any]:
    return {
        "at": datetime.now(UTC) - timedelta(minutes=5 * number),
        "actor": "local",
        "address": "127.0.0.1",
        "action": ("PATCH /tracks/{track_id}", "POST /tracks")[number % 2],
        "request_id": f"{number:032x}",
        "outcome": "ok",
        "status": 200,
    }


def _refresh_statistics(database: Database) -> None:
    """What PostgreSQL does by itself soon after such a change; SQLite never does."""
    if not database.is_sqlite:
        with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as raw:
            raw.execute(text("VACUUM ANALYZE"))
