"""Sixty sentences in words that no tag uses, and which tracks are right for each.

Legend: Q queries, N tracks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.training.evaluation.labelled import DATA
from models.training.manifest import ManifestEntry
from models.training.metrics import Bools


class FreeTextError(ValueError):
    """A sentence names a track that is not in its pool, or a rule that nothing fits."""


@dataclass(frozen=True)
class FreeText:
    """One sentence: its pool of tracks, and either the right ids or a rule on tags.

    A rule maps kinds of tags to values; a track is right that carries one of the values of each.
    """

    text: str
    pool: str
    right: tuple[str, ...] = ()
    rule: Mapping[str, tuple[str, ...]] | None = None


def read_free_text(path: Path = DATA / "free_text.jsonl") -> list[FreeText]:
    """Read the sentences."""
    found = []
    for line in path.read_text("utf-8").splitlines():
        record = json.loads(line)
        rule = record.get("rule")
        found.append(
            FreeText(
                record["text"],
                record["pool"],
                tuple(record.get("right", ())),
                None if rule is None else {kind: tuple(values) for kind, values in rule.items()},
            )
        )
    return found


def right_tracks(sentences: Sequence[FreeText], entries: Sequence[ManifestEntry]) -> Bools:
    """Say which tracks are right for which sentence [Q, N]; FreeTextError where none are."""
    truth = np.array([[_is_right(sentence, entry) for entry in entries] for sentence in sentences])
    for sentence, row in zip(sentences, truth, strict=True):
        if row.sum() < max(len(sentence.right), 1):
            raise FreeTextError(f"{sentence.text!r}: a right track is missing from {sentence.pool}")
    return truth


def _is_right(sentence: FreeText, entry: ManifestEntry) -> bool:
    if sentence.rule is None:
        return entry.id in sentence.right
    return all(set(values) & set(entry.tags.get(k, ())) for k, values in sentence.rule.items())
