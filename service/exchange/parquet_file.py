"""Embeddings as Parquet: one row per track, for whatever reads tables.

`vectors` is one value of bytes, little-endian float16 [N, E] row by row, because few readers know
Parquet's own half floats: `np.frombuffer(row, "<f2").reshape(-1, embed_dim)`. `extra` is JSON.
pyarrow is an extra of 50 MB, so this is the one file that imports it, and only when it is used.
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from service.database.vectors import STORED
from service.exchange.errors import FormatNotInstalled, InvalidEmbeddings
from service.exchange.pieces import PIECE_TRACKS, in_pieces
from service.exchange.tracks import VALUES, ExportedTrack, Header

FORMAT, VERSION = b"muquery-embeddings", b"1"
MAX_GROUP_BYTES = 1 << 30


def write_parquet(header: Header, tracks: Iterable[ExportedTrack]) -> Iterator[bytes]:
    """The file in chunks; memory holds one row group. Raises FormatNotInstalled at once."""
    arrow, parquet = _pyarrow()
    return _write(arrow, parquet, header, tracks)


def read_parquet(path: Path) -> tuple[Header, Iterator[ExportedTrack]]:
    """The file's header and its tracks, read as they are asked for.

    Raises InvalidEmbeddings, FormatNotInstalled.
    """
    arrow, parquet = _pyarrow()
    try:
        file = parquet.ParquetFile(path)
        about = file.schema_arrow.metadata or {}
        if about[b"format"] != FORMAT or about[b"version"] != VERSION:
            raise InvalidEmbeddings
        header = Header(about[b"model_id"].decode(), int(about[b"embed_dim"]))
        if file.schema_arrow.remove_metadata() != _schema(arrow, header).remove_metadata():
            raise InvalidEmbeddings
    except (arrow.ArrowException, KeyError, ValueError, OSError):
        raise InvalidEmbeddings from None
    return header, _read(arrow, file, header)


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        raise FormatNotInstalled from None
    return pyarrow, pyarrow.parquet


def _schema(arrow: Any, header: Header) -> Any:
    text = {name: arrow.string() for name in VALUES if name != "year"}
    fields = {
        "track_id": arrow.string(),
        "sha256": arrow.string(),
        "model_id": arrow.string(),
        "embed_dim": arrow.int32(),
        "filename": arrow.string(),
        **text,
        "year": arrow.int32(),
        "duration_s": arrow.float64(),
        "analysed_s": arrow.float64(),
        "warnings": arrow.list_(arrow.string()),
        "peaks": arrow.binary(),
        "starts_s": arrow.list_(arrow.float64()),
        "ends_s": arrow.list_(arrow.float64()),
        "vectors": arrow.binary(),
    }
    about = {"format": FORMAT, "version": VERSION, "model_id": header.model_id}
    about["embed_dim"] = str(header.embed_dim)
    return arrow.schema(list(fields.items()), metadata=about)


def _write(
    arrow: Any, parquet: Any, header: Header, tracks: Iterable[ExportedTrack]
) -> Iterator[bytes]:
    sink = io.BytesIO()
    schema = _schema(arrow, header)
    # Vectors do not compress: zstd is for the rest.
    compression = {name: "none" if name == "vectors" else "zstd" for name in _leaves(schema)}
    target = arrow.PythonFile(_Appended(sink), mode="w")
    with parquet.ParquetWriter(
        target, schema, compression=compression, use_dictionary=False
    ) as writer:
        for piece in in_pieces(tracks):
            rows = [_row(track, header) for track in piece]
            writer.write_table(arrow.Table.from_pylist(rows, schema=schema))
            yield _take(sink)
    yield _take(sink)


class _Appended(io.RawIOBase):
    """A file that only grows: its position counts on when what was written is taken away."""

    def __init__(self, sink: io.BytesIO) -> None:
        super().__init__()
        self._sink = sink
        self._position = 0

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def write(self, data: Any) -> int:
        written = self._sink.write(bytes(data))
        self._position += written
        return written


def _take(sink: io.BytesIO) -> bytes:
    taken = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return taken


def _leaves(schema: Any) -> list[str]:
    lists = {"warnings", "starts_s", "ends_s"}
    return [f"{name}.list.element" if name in lists else name for name in schema.names]


def _row(track: ExportedTrack, header: Header) -> dict[str, Any]:
    values = {name: track.values.get(name) for name in VALUES}
    values["extra"] = json.dumps(track.values.get("extra") or {}, ensure_ascii=False)
    return {
        **values,
        "track_id": track.track_id,
        "sha256": track.sha256,
        "model_id": header.model_id,
        "embed_dim": header.embed_dim,
        "filename": track.filename,
        "duration_s": track.duration_s,
        "analysed_s": track.analysed_s,
        "warnings": track.warnings,
        "peaks": track.peaks,
        "starts_s": track.starts_s,
        "ends_s": track.ends_s,
        "vectors": track.vectors.astype(STORED).tobytes(),
    }


def _read(arrow: Any, file: Any, header: Header) -> Iterator[ExportedTrack]:
    read = 0
    try:
        for number in range(file.num_row_groups):
            group = file.metadata.row_group(number)
            if group.total_byte_size > MAX_GROUP_BYTES:
                raise InvalidEmbeddings(row=read)
            for batch in file.iter_batches(PIECE_TRACKS, row_groups=[number]):
                for row in batch.to_pylist():
                    yield _track(row, header)
                    read += 1
    except (arrow.ArrowException, ValueError, TypeError, KeyError, OSError):
        raise InvalidEmbeddings(row=read) from None


def _track(row: dict[str, Any], header: Header) -> ExportedTrack:
    if (row["model_id"], row["embed_dim"]) != (header.model_id, header.embed_dim):
        raise ValueError("a row of another model")
    vectors = np.frombuffer(row["vectors"], STORED).reshape(-1, header.embed_dim)
    values = {name: row[name] for name in VALUES}
    values["extra"] = json.loads(row["extra"] or "{}")
    return ExportedTrack(
        track_id=row["track_id"] or "",
        sha256=row["sha256"],
        filename=row["filename"] or "",
        duration_s=row["duration_s"],
        analysed_s=row["analysed_s"],
        values=values,
        warnings=row["warnings"] or [],
        peaks=row["peaks"] or b"",
        starts_s=np.asarray(row["starts_s"], np.float64),
        ends_s=np.asarray(row["ends_s"], np.float64),
        vectors=vectors,
    )
