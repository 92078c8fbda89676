"""From the parts of a request to their vectors, and what the caller should be told about them.

Legend: E embedding width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy.orm import Session

from models.interface import Vectors
from service.database.tables import Track
from service.errors import EmptyQuery
from service.search.languages import language_warnings
from service.search.mixing import WeightedVector
from service.search.vectors import get_part_vector


@dataclass(frozen=True)
class TextPart:
    text: str
    weight: float = 1.0


@dataclass(frozen=True)
class TrackPart:
    """A stored track, or the seconds start_s to end_s of it."""

    track_id: str
    start_s: float | None = None
    end_s: float | None = None
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class ClipPart:
    """An unstored clip by its vector [E]; `digest` names its content in a cursor."""

    vector: Vectors
    digest: str
    weight: float = 1.0


Part = TextPart | TrackPart | ClipPart


@dataclass(frozen=True, eq=False)
class Query:
    """A query ready to be searched: its parts' vectors, and the tracks that must not be hits."""

    parts: tuple[WeightedVector, ...]
    excluded_pks: frozenset[int]
    identity: list[list[object]]
    warnings: list[str] = field(default_factory=list)


def texts_of(parts: Sequence[Part]) -> list[str]:
    """The texts to embed; raises EmptyQuery for no parts at all, and for a blank text."""
    if not parts:
        raise EmptyQuery
    texts = [part.text for part in parts if isinstance(part, TextPart)]
    if any(not text.strip() for text in texts):
        raise EmptyQuery("A text of the query is empty.")
    return list(dict.fromkeys(texts))


def build_query(
    session: Session,
    parts: Sequence[Part],
    text_vectors: Mapping[str, Vectors],
    *,
    model_id: str,
    languages: Sequence[str],
) -> Query:
    """Look up the stored parts; raises TrackNotFound, TrackNotReady, SpanOutsideTrack."""
    vectors: list[WeightedVector] = []
    excluded: set[int] = set()
    warnings = language_warnings(texts_of(parts), languages)
    for part in parts:
        if isinstance(part, TextPart):
            vectors.append(WeightedVector(text_vectors[part.text], part.weight))
        elif isinstance(part, ClipPart):
            vectors.append(WeightedVector(part.vector, part.weight))
        else:
            track, vector = get_part_vector(
                session, part.track_id, model_id, part.start_s, part.end_s
            )
            vectors.append(WeightedVector(vector, part.weight))
            excluded.add(track.pk)
            warnings += cut_warnings(track)
    return Query(tuple(vectors), frozenset(excluded), identity_of(parts), warnings)


def cut_warnings(track: Track) -> list[str]:
    """What to say of a track that was analysed in part only."""
    if track.duration_s is None or track.analysed_s is None:
        return []
    if track.analysed_s >= track.duration_s - 1.0:
        return []
    return [
        f"Only the first {track.analysed_s:.0f} s of track {track.id} were analysed; "
        "the rest has no part in this answer."
    ]


def wanted_texts(parts: Sequence[Part]) -> list[str]:
    """The texts that are asked for, and not against."""
    return [part.text for part in parts if isinstance(part, TextPart) and part.weight > 0]


def identity_of(parts: Sequence[Part]) -> list[list[object]]:
    """What a cursor remembers of the parts; JSON-serialisable."""
    return [_identity(part) for part in parts]


def _identity(part: Part) -> list[object]:
    if isinstance(part, TextPart):
        return ["text", part.text, part.weight]
    if isinstance(part, ClipPart):
        return ["clip", part.digest, part.weight]
    return ["track", part.track_id, part.start_s, part.end_s, part.weight]
