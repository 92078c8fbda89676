"""Scores as arrays, and the rule that assigns labels."""

from __future__ import annotations

import numpy as np
import pytest

from models.interface import Vectors
from models.relevance import relevance_scale
from service.tagging.scoring import (
    RELEVANCE_THRESHOLD,
    THRESHOLD,
    LabelScorer,
    label_vectors,
)
from service.tagging.vocabulary import Group, Label, LabelSet
from tests.support.encoder import FakeEncoder, tone

WORDS = ("low", "middle", "high")


class Uncalibrated(FakeEncoder):
    def tag_probabilities(self, relevances: np.ndarray) -> np.ndarray | None:
        return None


class WithoutReference(Uncalibrated):
    @property
    def reference(self) -> Vectors:
        return np.empty((0, self.embed_dim), dtype=np.float32)


def scorer(
    *labels: Label, choice: str = "multiple", threshold: float | None = None,
    encoder: FakeEncoder | None = None,
) -> LabelScorer:  # fmt: skip
    encoder = encoder or FakeEncoder()
    group = Group("pitch", labels or tuple(map(Label, WORDS)), choice, threshold=threshold)  # type: ignore[arg-type]
    vectors = encoder.embed_text([label.label for label in group.labels])
    return LabelScorer(LabelSet((group,)), vectors, encoder)


def sounds(*chords_hz: float | tuple[float, ...]) -> Vectors:
    """Vectors of tones, or of several at once."""
    chords = [chord if isinstance(chord, tuple) else (chord,) for chord in chords_hz]
    clips = [sum(tone(frequency_hz, 10.0) for frequency_hz in chord) for chord in chords]
    return FakeEncoder().embed_clips(np.stack(clips) / 4)


def test_scores_are_those_of_one_label_and_one_track_at_a_time() -> None:
    encoder, made, targets = FakeEncoder(), scorer(), sounds(150.0, 1000.0)
    found = made.score(targets)
    assert found.relevances is not None
    assert found.probabilities is not None
    for row, target in enumerate(targets):
        for column, word in enumerate(WORDS):
            query = encoder.embed_text([word])[0]
            score = float(query.astype(float) @ target.astype(float))
            relevance = relevance_scale(query, encoder.reference).relevance(score)
            assert found.scores[row, column] == pytest.approx(score)
            assert found.relevances[row, column] == pytest.approx(relevance, abs=1e-6)
            probability = encoder.tag_probability(relevance)
            assert found.probabilities[row, column] == pytest.approx(probability, abs=1e-6)


def test_of_multiple_choice_every_label_over_its_threshold_is_assigned() -> None:
    targets = sounds(150.0, 500.0, (150.0, 1000.0))
    found = scorer().score(targets)
    assert found.probabilities is not None
    assert (found.assigned == (found.probabilities >= THRESHOLD)).all()
    assert found.assigned.tolist() == [[1, 0, 0], [0, 0, 0], [1, 1, 0]]
    strict = scorer(threshold=0.99).score(targets)
    assert (strict.assigned == (found.probabilities >= 0.99)).all()
    own = scorer(Label("low", threshold=0.0), Label("high", threshold=1.0)).score(targets)
    assert own.assigned[:, 0].all()
    assert not own.assigned[:, 1].any()


def test_of_single_choice_the_best_is_assigned_if_it_reaches_the_floor() -> None:
    targets = sounds(150.0, 1000.0, 5000.0)
    found = scorer(choice="single").score(targets)
    assert found.assigned.tolist() == np.eye(3, dtype=bool).tolist()
    far = scorer(Label("cello"), Label("harp"), choice="single").score(targets)
    assert far.probabilities is not None
    assert (far.assigned.sum(axis=1) == (far.probabilities.max(axis=1) >= THRESHOLD)).all()
    assert not scorer(choice="single", threshold=1.0).score(targets).assigned.any()


def test_a_weak_label_is_scored_and_never_assigned_nor_in_the_way() -> None:
    targets = sounds((150.0, 1000.0))
    labels = (Label("low", weak=True), Label("middle"), Label("high"))
    found = scorer(*labels, choice="single", threshold=0.0).score(targets)
    strong = scorer(threshold=0.0).score(targets)
    assert found.scores.tolist() == strong.scores.tolist()
    assert found.assigned.tolist() == [[False, True, False]]
    assert not scorer(*labels, threshold=0.0).score(targets).assigned[:, 0].any()


def test_without_calibration_relevance_decides_and_thresholds_do_not() -> None:
    targets = sounds(150.0, 1000.0)
    made = scorer(Label("low", threshold=0.0), Label("middle"), encoder=Uncalibrated())
    found = made.score(targets)
    assert found.probabilities is None
    assert found.relevances is not None
    assert (found.assigned == (found.relevances >= RELEVANCE_THRESHOLD)).all()
    assert found.assigned.any()
    assert made.threshold(made.placed[0]) == RELEVANCE_THRESHOLD


def test_without_reference_clips_nothing_is_assigned() -> None:
    found = scorer(encoder=WithoutReference()).score(sounds(150.0, 1000.0))
    assert (found.relevances, found.probabilities) == (None, None)
    assert found.assigned.shape == (2, 3)
    assert not found.assigned.any()
    assert found.order_values is found.scores


def test_the_digest_changes_with_whatever_decides_the_tags() -> None:
    digests = {
        made.digest
        for made in (
            scorer(),
            scorer(choice="single"),
            scorer(threshold=0.5),
            scorer(Label("low"), Label("middle"), Label("high", weak=True)),
            scorer(Label("high"), Label("middle"), Label("low")),
            scorer(encoder=Uncalibrated()),
            scorer(encoder=WithoutReference()),
        )
    }
    assert len(digests) == 7
    assert scorer().digest == scorer().digest


def test_a_labels_vector_is_the_mean_of_its_prompts() -> None:
    vectors = np.asarray([[1, 0], [0, 1], [0, 1]], dtype=np.float32)
    found = label_vectors([["low", "deep"], ["high"]], vectors)
    assert found == pytest.approx(np.asarray([[0.5**0.5, 0.5**0.5], [0, 1]]), abs=1e-6)
