"""What scores texts against tracks: a bundle, and the teacher used as a text search engine.

Legend: Q queries, N tracks, P prompts of a query, E embedding width, K teacher tags.

A track's vector is the mean of its windows' unit vectors, as in serving, over at most twelve
windows spread evenly; a query's is the mean over its prompts, renormalised.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from models.audio.samples import plan_windows
from models.audio.windows import take_window
from models.interface import MusicTextEncoder
from models.training.decode import decode_mono
from models.training.manifest import ManifestEntry
from models.whole_file import whole_file

Vectors = NDArray[np.float32]
Query = Sequence[str]

MOST_WINDOWS = 12


class Scorer(Protocol):
    """Scores queries, each given as its prompts, against tracks."""

    @property
    def name(self) -> str: ...

    def score(self, queries: Sequence[Query], entries: Sequence[ManifestEntry]) -> Vectors:
        """Scores [Q, N]; higher fits better, within a query."""
        ...


def score_texts(scorer: Scorer, texts: Sequence[str], entries: Sequence[ManifestEntry]) -> Vectors:
    """Scores [Q, N] of plain texts."""
    return scorer.score([(text,) for text in texts], entries)


@dataclass(frozen=True)
class TrackVectors:
    """The vector [E] of every track that is evaluated, by the sha256 of its file."""

    means: dict[str, Vectors]

    def of(self, entries: Sequence[ManifestEntry]) -> Vectors:
        """The vectors [N, E] of tracks; KeyError for one that was not embedded."""
        return np.stack([self.means[entry.sha256] for entry in entries])


class BundleScorer:
    """A loaded bundle: cosine of a query to a track's mean vector."""

    def __init__(self, encoder: MusicTextEncoder, tracks: TrackVectors) -> None:
        self.encoder = encoder
        self.tracks = tracks

    @property
    def name(self) -> str:
        return self.encoder.name

    def query_vectors(self, queries: Sequence[Query]) -> Vectors:
        """Unit vectors [Q, E] of queries."""
        means = np.stack([self.encoder.embed_text(list(query)).mean(axis=0) for query in queries])
        return np.asarray(means / np.linalg.norm(means, axis=1, keepdims=True), dtype=np.float32)

    def score(self, queries: Sequence[Query], entries: Sequence[ManifestEntry]) -> Vectors:
        scores: Vectors = self.query_vectors(queries) @ self.tracks.of(entries).T
        return scores


class TeacherScorer:
    """The taggers that taught the bundle, searched by what words mean in their tags."""

    name = "teacher search"

    def __init__(
        self,
        logits: dict[str, Vectors],
        embed: Callable[[Sequence[str]], Vectors],
        statistics: tuple[Vectors, Vectors],
    ) -> None:
        """`logits`: rows [R, K] of each track id; `statistics`: mean and spread of every tag."""
        from models.training.teacher.reading import TagReader
        from models.training.teacher.search import TagStatistics

        self._reader = TagReader(embed)
        standard = TagStatistics(*statistics)
        self._tracks = {
            track: standard.standardise(rows).mean(axis=0) for track, rows in logits.items()
        }

    def score(self, queries: Sequence[Query], entries: Sequence[ManifestEntry]) -> Vectors:
        weights = np.stack([self._reader.read(list(query)).mean(axis=0) for query in queries])
        tracks = np.stack([self._tracks[entry.id] for entry in entries])
        scores: Vectors = weights @ tracks.T
        return scores


def embed_tracks(
    encoder: MusicTextEncoder,
    sets: Sequence[tuple[Path, Sequence[ManifestEntry]]],
    cache: Path | None = None,
    say: Callable[[str], None] = print,
) -> TrackVectors:
    """Embed the tracks of manifests in their folders; `cache` keeps vectors between calls.

    The cache holds one file per model and is keyed by the content of the audio.
    """
    path = cache / f"{encoder.model_id}-{MOST_WINDOWS}.npz" if cache is not None else None
    means: dict[str, Vectors] = {}
    if path is not None and path.exists():
        with np.load(path, allow_pickle=False) as stored:
            means = dict(zip(stored["sha256"].tolist(), stored["vectors"], strict=True))
    todo = {
        entry.sha256: folder / entry.path
        for folder, entries in sets
        for entry in entries
        if entry.sha256 not in means
    }
    for done, (sha256, file) in enumerate(todo.items(), start=1):
        means[sha256] = embed_track(encoder, decode_mono(file))
        if path is not None and (done % 100 == 0 or done == len(todo)):
            _save(path, means)
            say(f"embedded {done} of {len(todo)} tracks")
    return TrackVectors(means)


def embed_track(encoder: MusicTextEncoder, samples: Vectors) -> Vectors:
    """Embed a track [T]: the mean [E] over at most twelve windows, spread over the track."""
    windows = plan_windows(len(samples), round(encoder.clip_s * encoder.sample_rate_hz))
    chosen = sorted({round(i) for i in np.linspace(0, len(windows) - 1, MOST_WINDOWS)})
    clips = [
        encoder.embed_clips(take_window(samples, windows[place])[np.newaxis]) for place in chosen
    ]
    mean: Vectors = np.concatenate(clips).mean(axis=0)
    return mean


def _save(path: Path, means: dict[str, Vectors]) -> None:
    with whole_file(path) as draft, draft.open("wb") as stream:
        np.savez(stream, sha256=np.asarray(list(means)), vectors=np.stack(list(means.values())))


def fingerprint_of(texts: Sequence[str]) -> str:
    """A short identity of texts, so that a report says which committed data it judged by."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]
