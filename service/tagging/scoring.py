"""Scores of labels against tracks, as arrays, and the rule that assigns labels.

Legend: T targets, L labels, P prompts of a label, E embedding width.

label -> prompts -> text vectors [P, E] -> their mean at unit length -> its score against each
target's mean vector -> relevance among reference music -> calibrated probability.
Averaging over prompts makes a label less dependent on one wording (as published for CLIP).

A label of a group of multiple choice is assigned where its probability reaches the threshold (the
label's own, else the group's, else THRESHOLD). Of a group of single choice the most probable of
them is. Weak labels never are. A bundle without calibration is judged by RELEVANCE_THRESHOLD alone,
because the callers' thresholds are probabilities; one without reference clips assigns nothing.

THRESHOLD is low because a label fits few tracks: the bundled model's probabilities were fitted on
pairs of which one in eight fits, and reach 0.2 at a relevance of 0.92.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.interface import MusicTextEncoder, Vectors
from models.relevance import RelevanceScale, relevance_scale
from service.search.mixing import unit
from service.tagging.vocabulary import Group, Label, LabelSet, label_set_to_json

Floats = NDArray[np.float64]

THRESHOLD = 0.2
RELEVANCE_THRESHOLD = 0.92
RULE = f"2 {THRESHOLD} {RELEVANCE_THRESHOLD}"
"""Part of what stored tags were made from: another rule makes other tags."""

_PROBES = np.linspace(0.0, 1.0, 101)


@dataclass(frozen=True, eq=False)
class Scores:
    """Of T targets: raw scores [T, L]; relevances and probabilities where the bundle has them."""

    scores: Floats
    relevances: Floats | None
    probabilities: Floats | None
    assigned: NDArray[np.bool_]

    @property
    def order_values(self) -> Floats:
        """[T, L], what labels are ranked by: comparable between labels as far as can be."""
        return self.scores if self.relevances is None else self.relevances


@dataclass(frozen=True)
class PlacedLabel:
    """A label with its group, and its column in the arrays."""

    group: Group
    label: Label
    column: int


class LabelScorer:
    """A label set with its text vectors under one model, ready to score any number of targets."""

    def __init__(self, labels: LabelSet, vectors: Vectors, encoder: MusicTextEncoder) -> None:
        """`vectors` [L, E], of unit norm, in the order of the labels."""
        self.labels = labels
        self.vectors = vectors
        self._encoder = encoder
        pairs = [(group, label) for group in labels.groups for label in group.labels]
        self.placed = [PlacedLabel(*pair, column) for column, pair in enumerate(pairs)]

    @cached_property
    def _scales(self) -> list[RelevanceScale]:
        reference = self._encoder.reference
        if len(reference) == 0:
            return []
        # One by one, as a search does it: the same label must not get two relevances by rounding.
        return [relevance_scale(vector, reference) for vector in self.vectors]

    def score(self, targets: NDArray[np.floating[Any]]) -> Scores:
        """Score mean vectors [T, E]."""
        scores = targets.astype(np.float64) @ self.vectors.astype(np.float64).T
        relevances = probabilities = None
        if self._scales:
            columns = [
                scale.relevances_of(scores[:, column]) for column, scale in enumerate(self._scales)
            ]
            relevances = np.stack(columns, axis=1)
            probabilities = self._encoder.tag_probabilities(relevances)
        if relevances is None:
            assigned = np.zeros(scores.shape, dtype=bool)
        else:
            assigned = self._assign(relevances, probabilities)
        return Scores(scores, relevances, probabilities, assigned)

    @cached_property
    def digest(self) -> str:
        """A name for everything that decides the scores of a vector, and what is assigned."""
        found = hashlib.sha256()
        found.update(json.dumps(label_set_to_json(self.labels), sort_keys=True).encode())
        found.update(RULE.encode())
        for array in (self.vectors, self._encoder.reference):
            found.update(np.ascontiguousarray(array, dtype="<f4").tobytes())
        probes = self._encoder.tag_probabilities(_PROBES)
        found.update(b"" if probes is None else probes.astype("<f8").tobytes())
        return found.hexdigest()[:32]

    def threshold(self, placed: PlacedLabel) -> float:
        """What the label's probability must reach; its relevance, without calibration."""
        if self._encoder.tag_probabilities(_PROBES) is None:
            return RELEVANCE_THRESHOLD
        for given in (placed.label.threshold, placed.group.threshold):
            if given is not None:
                return given
        return THRESHOLD

    @cached_property
    def _thresholds(self) -> Floats:
        """[L]; no value reaches a weak label's."""
        return np.asarray(
            [np.inf if placed.label.weak else self.threshold(placed) for placed in self.placed]
        )

    def _assign(self, relevances: Floats, probabilities: Floats | None) -> NDArray[np.bool_]:
        values = relevances if probabilities is None else probabilities
        assigned: NDArray[np.bool_] = values >= self._thresholds
        first = 0
        for group in self.labels.groups:
            columns = slice(first, first + len(group.labels))
            first = columns.stop
            if group.choice == "single":
                assigned[:, columns] &= self._is_best(relevances, columns)
        return assigned

    def _is_best(self, relevances: Floats, columns: slice) -> NDArray[np.bool_]:
        """[T, labels of the group]: the first of the best among the labels that are not weak."""
        strong = np.isfinite(self._thresholds[columns])
        values = np.where(strong, relevances[:, columns], -1.0)
        best: NDArray[np.bool_] = np.arange(values.shape[1]) == values.argmax(axis=1)[:, np.newaxis]
        return best


def label_vectors(prompts: Sequence[Sequence[str]], vectors: Vectors) -> Vectors:
    """Vectors of all prompts in order -> [L, E]: the mean over each label's at unit length."""
    ends = np.cumsum([len(wordings) for wordings in prompts])
    return np.stack([unit(part.mean(axis=0)) for part in np.split(vectors, ends[:-1])])
