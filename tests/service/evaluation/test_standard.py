"""Marks of the standard vocabulary: what is chosen from which evidence, and how it is written."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from models.training.manifest import ManifestEntry
from service.evaluation.label_evidence import GENRES, HEARD, PLAYED, REMARKS, RENDERED
from service.evaluation.music import Recording
from service.evaluation.standard import (
    Evidence,
    Music,
    gather,
    judge,
    marked,
    vocabulary_text,
)
from service.tagging.store import STANDARD_FILE
from service.tagging.vocabulary import LabelSet, label_set_from_json
from tests.support.encoder import FakeEncoder, tone

TRUE = np.array([True] * 5 + [False] * 15)


def evidence(
    scores: Sequence[float], probabilities: Sequence[float], name: str = "recordings"
) -> Evidence:
    return Evidence(name, np.array(scores), np.array(probabilities), TRUE)


def in_order() -> list[float]:
    return [float(20 - i) for i in range(20)]


def test_the_usual_threshold_is_kept_where_half_are_right_and_enough_is_found() -> None:
    probabilities = [0.42, 0.36, 0.31, 0.22, 0.18, *[0.02] * 15]
    verdict = judge("metal", [evidence(in_order(), probabilities)])
    assert (verdict.threshold, verdict.given, verdict.right) == (0.2, 4, 4)
    assert verdict.note == "ROC-AUC 1.00 on 5 of 20 recordings"


def test_otherwise_the_lowest_at_which_half_are_right_is_chosen() -> None:
    quiet = [*[0.16] * 5, *[0.12] * 10, *[0.02] * 5]
    verdict = judge("metal", [evidence(in_order(), quiet)])
    assert (verdict.threshold, verdict.given, verdict.right) == (0.15, 5, 5)
    loud = [*[0.42] * 5, *[0.32] * 10, *[0.02] * 5]
    assert judge("metal", [evidence(in_order(), loud)]).threshold == 0.35


def test_a_label_that_orders_badly_is_weak_whatever_its_threshold() -> None:
    backwards = list(reversed(in_order()))
    verdict = judge("metal", [evidence(backwards, [0.9] * 5 + [0.0] * 15)])
    assert verdict.weak
    assert "few" not in verdict.note


def test_a_label_that_is_right_for_few_at_any_threshold_is_weak() -> None:
    verdict = judge("metal", [evidence(in_order(), [0.15] * 15 + [0.0] * 5)])
    assert verdict.weak
    assert verdict.note.endswith("few are right")


def test_two_tracks_say_nothing() -> None:
    scores, true = np.arange(20.0), np.arange(20) >= 18
    verdict = judge("metal", [Evidence("recordings", scores, scores / 20, true)])
    assert verdict.weak
    assert verdict.note.endswith("too few to be sure")


def test_agreement_decides_only_where_nothing_is_known() -> None:
    right_late = evidence(in_order(), [0.42] * 5 + [0.32] * 10 + [0.0] * 5)
    agreed_early = evidence(in_order(), [0.42] * 5 + [0.0] * 15, "another tagger")
    both = judge("piano", [right_late, agreed_early])
    assert both.threshold == 0.35
    assert "agreement with another tagger 1.00" in both.note
    assert judge("calm", [agreed_early]).threshold == 0.2


def tracks(names: Sequence[str], genre: Callable[[str], tuple[str, ...]]) -> list[Recording]:
    encoder = FakeEncoder()
    found = []
    for number, name in enumerate(names):
        samples = tone({"low": 150.0, "high": 5000.0}[name] + number, 20.0)
        clips = encoder.embed_clips(samples.reshape(2, -1))
        entry = ManifestEntry(
            id=str(number), path=f"{number}.wav", duration_s=20.0, split="test", group=str(number),
            source="tones 1", sha256=f"{number:064x}", title=None, artist=None,
            licence="CC0-1.0", attribution="", tags={"genre": genre(name)},
        )  # fmt: skip
        found.append(Recording(entry, clips, Path(entry.path)))
    return found


@pytest.fixture
def vocabulary(monkeypatch: pytest.MonkeyPatch) -> LabelSet:
    monkeypatch.setitem(cast(dict[str, tuple[str, ...]], GENRES), "low", ("bass music",))
    monkeypatch.setitem(cast(dict[str, tuple[str, ...]], GENRES), "high", ("treble music",))
    monkeypatch.setitem(cast(dict[str, tuple[str, ...]], HEARD), "high", ("bright", "-dull"))
    labels = [{"label": "low", "weak": True, "note": "not measured"}, {"label": "high"}]
    groups = [{"name": "range", "choice": "single", "labels": labels},
              {"name": "use", "labels": [{"label": "battle", "weak": True}]}]  # fmt: skip
    return label_set_from_json({"groups": groups})


def test_labels_are_measured_on_real_vectors_and_marked(vocabulary: LabelSet) -> None:
    names = ["low", "high"] * 6
    recordings = tracks(names, lambda name: ({"low": "bass", "high": "treble"}[name] + " music",))
    opinions = np.array([[float(name == "high"), float(name == "low")] for name in names])
    music = Music(recordings, [], [], [], recordings, ["bright", "dull"], opinions)
    found = gather(vocabulary, music, FakeEncoder())
    assert {name: [each.name for each in told] for name, told in found.items()} == {
        "low": ["recordings"],
        "high": ["recordings", "another tagger"],
    }
    assert all(each.roc_auc == 1.0 for told in found.values() for each in told)
    verdicts = {name: judge(name, told) for name, told in found.items()}
    changed = marked(vocabulary, verdicts)
    low, high = changed.groups[0].labels
    assert not low.weak
    assert low.note == "ROC-AUC 1.00 on 6 of 12 recordings"
    assert high.note is not None
    assert high.note.endswith("agreement with another tagger 1.00")
    # Nothing is known of it: it stays as its author marked it.
    assert changed.groups[1] == vocabulary.groups[1]


def test_the_file_is_written_as_it_is_read() -> None:
    text = STANDARD_FILE.read_text("utf-8")
    content = json.loads(text)
    labels = label_set_from_json({"groups": content["groups"]})
    assert vocabulary_text(content, labels) == text
    names = {label.label for group in labels.groups for label in group.labels}
    assert {*GENRES, *RENDERED, *PLAYED, *HEARD, *REMARKS} <= names


def test_two_rightly_given_tracks_are_too_few() -> None:
    verdict = judge("metal", [evidence(in_order(), [0.42, 0.41] + [0.0] * 18)])
    assert verdict.weak
    assert judge("metal", [evidence(in_order(), [0.42, 0.41, 0.4] + [0.0] * 17)]).right == 3
