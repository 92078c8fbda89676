"""What comes first for ten fixed queries, by title: figures cannot say what reading this says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.training.evaluation.labelled import DATA
from models.training.evaluation.scorers import BundleScorer
from models.training.manifest import ManifestEntry

MOST = 3


@dataclass(frozen=True)
class Neighbours:
    """The titles that a query finds first in one collection, with their scores."""

    collection: str
    query: str
    titles: tuple[str, ...]
    scores: tuple[float, ...]


def read_queries(path: Path = DATA / "neighbours.json") -> list[str]:
    """Read the ten queries."""
    queries: list[str] = json.loads(path.read_text("utf-8"))
    return queries


def list_neighbours(
    scorer: BundleScorer, collection: str, entries: Sequence[ManifestEntry], queries: Sequence[str]
) -> list[Neighbours]:
    """Return the first three titles of a collection for each query."""
    scores = scorer.score([(query,) for query in queries], entries)
    found = []
    for query, row in zip(queries, scores, strict=True):
        first = np.argsort(-row, kind="stable")[:MOST]
        found.append(
            Neighbours(
                collection,
                query,
                tuple(title_of(entries[i]) for i in first),
                tuple(float(row[i]) for i in first),
            )
        )
    return found


def title_of(entry: ManifestEntry) -> str:
    """A track's title, or what its file is called."""
    package = entry.source.split(" ", 1)[0]
    return entry.title or entry.id.removeprefix(f"{package}-").replace("-", " ")
