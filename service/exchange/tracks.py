"""A track as it travels between installations: its bytes' hash, what is known of it, its vectors.

Legend: N clips, E embedding width.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.database.tables import CLIP_BITS
from service.database.vectors import pack_vectors
from service.errors import InvalidRequest
from service.exchange.errors import InvalidEmbeddings
from service.tracks.metadata import clean_values

SECONDS = np.dtype("<f8")
VALUES = ("title", "artist", "album", "genre", "year", "licence", "attribution", "extra")
WARNINGS = frozenset({"analysis_capped", "ended_early", "corrupt_packets", "non_finite_samples"})

_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_S = 1e7


@dataclass(frozen=True)
class Header:
    """Which model made a file's vectors."""

    model_id: str
    embed_dim: int


@dataclass(frozen=True, eq=False)
class ExportedTrack:
    """Vectors float16 [N, E]; starts and ends in seconds [N]; `values` are the editable fields."""

    track_id: str
    sha256: str
    filename: str
    duration_s: float | None
    analysed_s: float
    values: dict[str, Any]
    warnings: list[str]
    peaks: bytes
    starts_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    vectors: NDArray[np.float16]


def check_track(track: ExportedTrack, header: Header, row: int) -> ExportedTrack:
    """The track with its values cleaned; raises InvalidEmbeddings for what no export holds."""
    clips = len(track.vectors)
    spans_fit = track.starts_s.shape == track.ends_s.shape == (clips,)
    width_fits = track.vectors.ndim == 2 and track.vectors.shape[1:] == (header.embed_dim,)
    if not (_SHA256.fullmatch(track.sha256) and spans_fit and width_fits):
        raise InvalidEmbeddings(row=row)
    if not 0 < clips < 1 << CLIP_BITS or not 0 < track.analysed_s < _MAX_S:
        raise InvalidEmbeddings(row=row)
    if not (_are_spans(track.starts_s, track.ends_s) and WARNINGS.issuperset(track.warnings)):
        raise InvalidEmbeddings(row=row)
    try:
        pack_vectors(track.vectors.astype(np.float32))
        values = clean_values({key: track.values.get(key) for key in VALUES})
    except (ValueError, InvalidRequest):
        raise InvalidEmbeddings(row=row) from None
    return ExportedTrack(**{**vars(track), "values": values})


def _are_spans(starts_s: NDArray[np.float64], ends_s: NDArray[np.float64]) -> bool:
    in_order = bool((np.diff(starts_s) > 0).all())
    # False for NaN, too.
    return in_order and bool(((starts_s >= 0) & (ends_s > starts_s) & (ends_s < _MAX_S)).all())
