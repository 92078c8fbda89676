"""Tracks in pieces that fit into memory, whatever the length of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from service.exchange.tracks import ExportedTrack

PIECE_TRACKS = 256
PIECE_BYTES = 16 * 1024 * 1024


def in_pieces(tracks: Iterable[ExportedTrack]) -> Iterator[list[ExportedTrack]]:
    """Lists of up to PIECE_TRACKS tracks, ended early by PIECE_BYTES of vectors."""
    piece: list[ExportedTrack] = []
    size_bytes = 0
    for track in tracks:
        piece.append(track)
        size_bytes += track.vectors.nbytes
        if len(piece) == PIECE_TRACKS or size_bytes >= PIECE_BYTES:
            yield piece
            piece, size_bytes = [], 0
    if piece:
        yield piece
