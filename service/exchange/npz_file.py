"""Embeddings as .npz: readable by numpy alone, written and read some hundred tracks at a time.

    header                uint8, JSON: {"format": "muquery-embeddings", "version": 1, "model_id": …,
                          "embed_dim": E}
    00000.tracks          uint8, JSON: a list of tracks; "clips" and "peaks" are their lengths below
    00000.vectors         float16 [clips, E], of these tracks one after another
    00000.starts_s, 00000.ends_s    float64 [clips]
    00000.peaks           uint8
    00001.tracks …
    end                   uint8, JSON: {"tracks": n}

No member is a pickle, and none is read before its size is known to be sane.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from service.database.vectors import STORED
from service.exchange.errors import InvalidEmbeddings
from service.exchange.pieces import in_pieces
from service.exchange.tracks import SECONDS, ExportedTrack, Header

FORMAT, VERSION = "muquery-embeddings", 1
MAX_MEMBER_BYTES = 1 << 30
_FIELDS = ("track_id", "sha256", "filename", "duration_s", "analysed_s", "values", "warnings")
_DAMAGED = (zipfile.BadZipFile, KeyError, ValueError, TypeError, EOFError, OSError)


class _Sink(io.RawIOBase):
    """Takes what a writer writes and hands it on; cannot be sought in."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        chunk = bytes(data)
        self._chunks.append(chunk)
        return len(chunk)

    def take(self) -> bytes:
        taken = b"".join(self._chunks)
        self._chunks.clear()
        return taken


def write_npz(header: Header, tracks: Iterable[ExportedTrack]) -> Iterator[bytes]:
    """The file in chunks; memory holds one piece of it."""
    sink = _Sink()
    written = 0
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_STORED) as archive:
        about = {"format": FORMAT, "version": VERSION, **vars(header)}
        _add(archive, "header", _json_array(about))
        for number, piece in enumerate(in_pieces(tracks)):
            _add_piece(archive, f"{number:05}", piece)
            written += len(piece)
            yield sink.take()
        _add(archive, "end", _json_array({"tracks": written}))
    yield sink.take()


def read_npz(path: Path) -> tuple[Header, Iterator[ExportedTrack]]:
    """The file's header and its tracks, read as they are asked for; raises InvalidEmbeddings."""
    try:
        with zipfile.ZipFile(path) as archive:
            about = _read_json(archive, "header")
        if about["format"] != FORMAT or about["version"] != VERSION:
            raise InvalidEmbeddings
        header = Header(str(about["model_id"]), int(about["embed_dim"]))
    except _DAMAGED:
        raise InvalidEmbeddings from None
    return header, _read_tracks(path, header)


def _read_tracks(path: Path, header: Header) -> Iterator[ExportedTrack]:
    read = 0
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(archive.namelist())
            number = 0
            while f"{number:05}.tracks.npy" in names:
                for track in _read_piece(archive, f"{number:05}", header):
                    read += 1
                    yield track
                number += 1
            if _read_json(archive, "end")["tracks"] != read:
                raise InvalidEmbeddings(row=read)
    except _DAMAGED:
        raise InvalidEmbeddings(row=read) from None


def _add_piece(archive: zipfile.ZipFile, name: str, tracks: list[ExportedTrack]) -> None:
    rows = [
        {key: getattr(track, key) for key in _FIELDS}
        | {"clips": len(track.vectors), "peaks": len(track.peaks)}
        for track in tracks
    ]
    _add(archive, f"{name}.tracks", _json_array(rows))
    _add(archive, f"{name}.vectors", np.concatenate([track.vectors for track in tracks]))
    _add(archive, f"{name}.starts_s", np.concatenate([track.starts_s for track in tracks]))
    _add(archive, f"{name}.ends_s", np.concatenate([track.ends_s for track in tracks]))
    peaks = np.frombuffer(b"".join(track.peaks for track in tracks), np.uint8)
    _add(archive, f"{name}.peaks", peaks)


def _read_piece(archive: zipfile.ZipFile, name: str, header: Header) -> Iterator[ExportedTrack]:
    rows = _read_json(archive, f"{name}.tracks")
    vectors = _read(archive, f"{name}.vectors", STORED)
    if vectors.ndim != 2 or vectors.shape[1] != header.embed_dim:
        raise ValueError("vectors of another width")
    starts_s = _read(archive, f"{name}.starts_s", SECONDS)
    ends_s = _read(archive, f"{name}.ends_s", SECONDS)
    peaks = _read(archive, f"{name}.peaks", np.dtype(np.uint8)).tobytes()
    # Checked before a track is yielded: a slice past the end would quietly be a shorter one.
    if sum(row["clips"] for row in rows) != len(vectors):
        raise ValueError("the tracks have another number of clips than there are vectors")
    clip = peak = 0
    for row in rows:
        if not isinstance(row["values"], dict):
            raise TypeError("a track's values are not an object")
        clips, loud = slice(clip, clip + row["clips"]), slice(peak, peak + row["peaks"])
        clip, peak = clips.stop, loud.stop
        yield ExportedTrack(
            track_id=str(row["track_id"]),
            sha256=str(row["sha256"]),
            filename=str(row["filename"]),
            duration_s=None if row["duration_s"] is None else float(row["duration_s"]),
            analysed_s=float(row["analysed_s"]),
            values=dict(row["values"]),
            warnings=[str(code) for code in row["warnings"]],
            peaks=peaks[loud],
            starts_s=starts_s[clips],
            ends_s=ends_s[clips],
            vectors=vectors[clips],
        )


def _add(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    member = io.BytesIO()
    npy.write_array(member, array, allow_pickle=False)
    archive.writestr(f"{name}.npy", member.getvalue())


def _read(archive: zipfile.ZipFile, name: str, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A member of this type; ValueError where it is another, or more than its own bytes."""
    info = archive.getinfo(f"{name}.npy")
    if info.file_size > MAX_MEMBER_BYTES:
        raise ValueError("a member is too large")
    member = io.BytesIO(archive.read(info))
    if npy.read_magic(member) != (1, 0):
        raise ValueError("an unknown kind of array")
    shape, fortran, found = npy.read_array_header_1_0(member)
    content = member.getbuffer()[member.tell() :]
    if found != dtype or fortran or len(content) != int(np.prod(shape)) * dtype.itemsize:
        raise ValueError("an array of another type or size")
    return np.frombuffer(content, dtype).reshape(shape)


def _json_array(value: Any) -> NDArray[np.uint8]:
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), np.uint8)


def _read_json(archive: zipfile.ZipFile, name: str) -> Any:
    return json.loads(_read(archive, name, np.dtype(np.uint8)).tobytes())
