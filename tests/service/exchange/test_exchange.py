"""Embeddings go out of one library and into another, and nothing is analysed twice."""

from __future__ import annotations

import dataclasses
import io
import json
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import Track, TrackState, WaitingEmbedding
from service.exchange.errors import FormatNotInstalled, InvalidEmbeddings, ModelMismatch
from service.exchange.service import ExchangeService, FileFormat
from service.filtering.parsing import parse_filter
from tests.support.encoder import EMBED_DIM, MODEL_ID, FakeEncoder
from tests.support.library import Library

FORMATS: list[FileFormat] = ["npz", "parquet"]


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Iterator[Library]:
    made = Library(database, tmp_path)
    made.encoder.wait()
    yield made
    made.close()


@pytest.fixture
def source(sqlite_template: Path, tmp_path: Path) -> Iterator[Library]:
    """Another library, with two analysed tracks, one of which someone edited."""
    folder = tmp_path / "source"
    folder.mkdir()
    (folder / "db.sqlite3").write_bytes(sqlite_template.read_bytes())
    database = Database(f"sqlite:///{folder / 'db.sqlite3'}")
    made = Library(database, folder)
    made.encoder.wait()
    made.upload_tone(200.0, 25.0, artist="Ä duo", extra={"mood": ["calm", 3]})
    made.upload_tone(4000.0, 4.0)
    made.work_all()
    yield made
    made.close()
    database.dispose()


def exchange_of(library: Library) -> ExchangeService:
    return ExchangeService(library.database, library.encoder, max_attempts=3)


def exported(library: Library, file_format: FileFormat, path: Path) -> Path:
    path.write_bytes(b"".join(exchange_of(library).export(file_format)))
    return path


@pytest.fixture(params=FORMATS)
def file(request: pytest.FixtureRequest, source: Library, tmp_path: Path) -> Path:
    return exported(source, request.param, tmp_path / f"library.{request.param}")


def waiting(library: Library) -> int:
    return exchange_of(library).waiting().tracks


def test_an_upload_of_known_bytes_is_ready_without_being_analysed(
    library: Library, source: Library, file: Path
) -> None:
    imported = exchange_of(library).import_file(file)
    assert dataclasses.astuple(imported) == (2, 0, 0, 2, MODEL_ID)
    assert waiting(library) == 2
    uploaded = library.upload_tone(200.0, 25.0)
    calls = list(library.fake.clip_calls)
    library.work_all()
    assert library.fake.clip_calls == calls, "the model saw no clip"
    assert waiting(library) == 1
    here = library.track(uploaded.track.id)
    with source.database.read() as session:
        there = session.scalars(sa.select(Track).where(Track.sha256 == here.sha256)).one()
    for name in ("state", "artist", "extra", "duration_s", "analysed_s", "peaks", "warnings"):
        assert getattr(here, name) == getattr(there, name), name
    ours, theirs = library.clips(here.pk), source.clips(there.pk)
    assert [(c.start_s, c.end_s, c.vector) for c in ours] == [
        (c.start_s, c.end_s, c.vector) for c in theirs
    ]
    assert np.array_equal(library.mean(here.pk), source.mean(there.pk))
    assert len(library.changes()) == 1, "it is published to the index"


def test_what_the_uploader_says_wins(library: Library, file: Path) -> None:
    exchange_of(library).import_file(file)
    uploaded = library.upload_tone(200.0, 25.0, artist="Someone else")
    assert uploaded.track.artist == "Someone else"
    assert uploaded.track.extra == {"mood": ["calm", 3]}


def test_a_track_that_is_not_analysed_yet_gets_the_vectors(library: Library, file: Path) -> None:
    pending = library.upload_tone(200.0, 25.0)
    failed = library.upload_tone(4000.0, 4.0)
    assert failed.job is not None
    library.jobs.cancel(failed.job.id)
    with library.database.write() as session:
        session.execute(
            sa.update(Track).where(Track.id == failed.track.id).values(state=TrackState.FAILED)
        )
    imported = exchange_of(library).import_file(file)
    assert (imported.attached, imported.waiting) == (2, 0)
    library.work_all()
    assert library.fake.clip_calls == []
    for uploaded in (pending, failed):
        assert library.track(uploaded.track.id).state == "ready"
    assert waiting(library) == 0


def test_importing_twice_changes_nothing(library: Library, file: Path) -> None:
    service = exchange_of(library)
    service.import_file(file)
    again = service.import_file(file)
    assert (again.waiting, waiting(library)) == (2, 2)
    library.upload_tone(200.0, 25.0)
    library.work_all()
    third = service.import_file(file)
    assert (third.known, third.waiting) == (1, 1)
    service.drop_waiting()
    assert waiting(library) == 0


def test_an_export_of_an_import_is_the_same(
    library: Library, source: Library, file: Path, tmp_path: Path
) -> None:
    exchange_of(library).import_file(file)
    library.upload_tone(200.0, 25.0)
    library.upload_tone(4000.0, 4.0)
    library.work_all()
    second = exported(library, "npz", tmp_path / "second")
    third = exported(source, "npz", tmp_path / "third")
    for name in ("00000.vectors", "00000.starts_s", "00000.ends_s", "00000.peaks"):
        assert np.array_equal(np.load(second)[name], np.load(third)[name])


def test_another_model_is_refused_and_nothing_stored(
    database: Database, file: Path, tmp_path: Path
) -> None:
    other = Library(database, tmp_path, encoder=FakeEncoder(model_id="fake-2"))
    other.encoder.wait()
    with pytest.raises(ModelMismatch) as refused:
        exchange_of(other).import_file(file)
    assert refused.value.details == {"file_model_id": MODEL_ID, "model_id": "fake-2"}
    assert waiting(other) == 0
    other.close()


def test_a_filter_takes_a_part(source: Library, library: Library, tmp_path: Path) -> None:
    for text, expected in (
        ({"field": "artist", "eq": "a DUO"}, 1),
        ({"not": {"field": "artist", "eq": "a duo"}}, 1),
        ({"field": "extra.mood", "eq": "calm"}, 1),
        ({"field": "duration_s", "range": {"gt": 1}}, 2),
    ):
        chunks = exchange_of(source).export("npz", parse_filter(text))
        path = tmp_path / "part.npz"
        path.write_bytes(b"".join(chunks))
        assert exchange_of(library).import_file(path).read == expected


def test_an_empty_library_is_a_file_too(library: Library, tmp_path: Path) -> None:
    for file_format in FORMATS:
        empty = exported(library, file_format, tmp_path / file_format)
        assert exchange_of(library).import_file(empty).read == 0


def test_numpy_alone_reads_the_npz(source: Library, tmp_path: Path) -> None:
    content = np.load(exported(source, "npz", tmp_path / "a.npz"), allow_pickle=False)
    tracks = json.loads(content["00000.tracks"].tobytes())
    vectors = content["00000.vectors"]
    assert vectors.dtype == np.float16
    assert vectors.shape == (sum(track["clips"] for track in tracks), EMBED_DIM)
    assert json.loads(content["header"].tobytes())["model_id"] == MODEL_ID


def test_any_parquet_reader_reads_the_table(source: Library, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    table = parquet.read_table(exported(source, "parquet", tmp_path / "a.parquet")).to_pylist()
    row = next(row for row in table if row["artist"] == "Ä duo")
    vectors = np.frombuffer(row["vectors"], "<f2").reshape(-1, row["embed_dim"])
    assert len(vectors) == len(row["starts_s"]) == len(row["ends_s"])
    assert row["model_id"] == MODEL_ID
    assert json.loads(row["extra"]) == {"mood": ["calm", 3]}


def test_a_cut_file_is_refused(library: Library, file: Path) -> None:
    content = file.read_bytes()
    for length in (0, 3, 40, len(content) // 2, len(content) - 1):
        file.write_bytes(content[:length])
        with pytest.raises(InvalidEmbeddings):
            exchange_of(library).import_file(file)
    assert waiting(library) == 0


def test_other_files_are_refused(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "other"
    np.savez(path, a=np.zeros(3))
    for content in (
        b"",
        b"PAR1" * 10,
        b"PK\x03\x04 nothing",
        (tmp_path / "other.npz").read_bytes(),
    ):
        path.write_bytes(content)
        with pytest.raises(InvalidEmbeddings):
            exchange_of(library).import_file(path)


def changed_npz(path: Path, name: str, array: Any) -> None:
    """The file with one member replaced; `array` may be bytes."""
    content = array
    if not isinstance(array, bytes):
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array)
        content = buffer.getvalue()
    with zipfile.ZipFile(path) as old:
        members = {member: old.read(member) for member in old.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w") as new:
        for member, data in members.items():
            new.writestr(member, data)


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(np.load(path)["00000.tracks"].tobytes())
    return rows


def as_array(value: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    return np.frombuffer(json.dumps(value).encode(), np.uint8)


@pytest.mark.parametrize(
    "change",
    [
        {"sha256": "../../etc"},
        {"sha256": "A" * 64},
        {"clips": 0},
        {"clips": 10**9},
        {"clips": "x"},
        {"analysed_s": -1},
        {"analysed_s": None},
        {"warnings": ["made up"]},
        {"values": {"year": "soon"}},
        {"values": {"title": 7}},
        {"values": []},
    ],
)
def test_a_row_that_no_export_holds_is_refused(
    library: Library, source: Library, tmp_path: Path, change: dict[str, Any]
) -> None:
    path = exported(source, "npz", tmp_path / "a.npz")
    rows = rows_of(path)
    rows[1] |= change
    changed_npz(path, "00000.tracks.npy", as_array(rows))
    with pytest.raises(InvalidEmbeddings):
        exchange_of(library).import_file(path)


def test_vectors_that_no_index_takes_are_refused(
    library: Library, source: Library, tmp_path: Path
) -> None:
    path = exported(source, "npz", tmp_path / "a.npz")
    good = np.load(path)["00000.vectors"]
    longer, nan = good * 2, good.copy()
    nan[0, 0] = np.nan
    claim = {"descr": "<f2", "fortran_order": False, "shape": (10**9, EMBED_DIM)}
    lying = io.BytesIO()
    np.lib.format.write_array_header_1_0(lying, claim)
    for bad in (longer, nan, good.astype(np.float32), good[:, 1:], good[:1], lying.getvalue()):
        changed_npz(path, "00000.vectors.npy", bad)
        with pytest.raises(InvalidEmbeddings):
            exchange_of(library).import_file(path)
    with library.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(WaitingEmbedding)) == 0


def test_a_pickle_is_never_loaded(library: Library, source: Library, tmp_path: Path) -> None:
    path = exported(source, "npz", tmp_path / "a.npz")
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    changed_npz(path, "00000.tracks.npy", buffer.getvalue())
    with pytest.raises(InvalidEmbeddings):
        exchange_of(library).import_file(path)


def test_without_pyarrow_parquet_says_what_to_do(
    library: Library, source: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = exported(source, "parquet", tmp_path / "a.parquet")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FormatNotInstalled, match="pip install"):
        exchange_of(library).export("parquet")
    with pytest.raises(FormatNotInstalled):
        exchange_of(library).import_file(path)
    assert exported(source, "npz", tmp_path / "b.npz").stat().st_size > 0
