"""Exact labels: which tracks are known whole, how labels are asked, and the loss written out."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from models.training.data import open_training_data
from models.training.exact_labels import (
    ExactLabelConfig,
    ExactLabels,
    LabelScales,
    exact_label_loss,
)
from models.training.manifest import ManifestEntry
from models.training.mulan import MulanTask, train_mulan
from models.training.recipes import mulan_tiny
from models.training.settings import override
from tests.training.tiny_corpus import TinyCorpus, make_entry, make_tiny_corpus, sound, write_wav

CONFIG = ExactLabelConfig(weight=1.0, groups=("instrument", "mode"), fewest_tracks=1)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> TinyCorpus:
    return make_tiny_corpus(tmp_path_factory.mktemp("corpus"))


def entries(folder: Path) -> list[ManifestEntry]:
    """Two renders, and a recording of which only the instruments are said."""
    path = folder / "a.wav"
    write_wav(path, sound("low", 1.0, seed=0))
    base = make_entry(path, "low", "train")
    tags: list[dict[str, tuple[str, ...]]] = [
        {"instrument": ("flute", "piano"), "mode": ("minor",)},
        {"instrument": ("piano",)},
        {"instrument": ("drums",), "mode": ("major",)},
    ]
    return [dataclasses.replace(base, id=str(i), tags=tag) for i, tag in enumerate(tags)]


def test_only_tracks_that_are_known_whole_are_asked_about(tmp_path: Path) -> None:
    labels = ExactLabels(CONFIG, entries(tmp_path))
    assert labels.known.tolist() == [True, False, True]
    names = [value for _, value in labels.labels]
    assert sorted(names) == ["drums", "flute", "major", "minor", "piano"]
    carried = labels.of(np.array([0, 2, 1]))
    told = [{name for name, has in zip(names, row, strict=True) if has} for row in carried]
    assert told == [{"flute", "minor", "piano"}, {"drums", "major"}, set()]
    with pytest.raises(ValueError, match="genre"):
        ExactLabels(ExactLabelConfig(weight=1.0, groups=("genre", "mode")), entries(tmp_path)[:1])
    with pytest.raises(ValueError, match="8 tracks"):
        ExactLabels(dataclasses.replace(CONFIG, fewest_tracks=8), entries(tmp_path))
    with pytest.raises(ValueError, match="phrases"):
        ExactLabelConfig(groups=("bpm",))


def test_every_label_is_asked_in_one_of_its_wordings(tmp_path: Path) -> None:
    labels = ExactLabels(CONFIG, entries(tmp_path))
    rng = np.random.default_rng(0)
    drawn = np.array([labels.wordings(rng) for _ in range(200)])
    for place, (group, value) in enumerate(labels.labels):
        texts = {labels.texts[i] for i in drawn[:, place]}
        assert all(value in text for text in texts)
        assert len(texts) == {"instrument": 4, "mode": 3}[group]
    assert len(set(drawn.ravel().tolist())) == len(labels.texts)


def test_the_loss_is_that_of_the_definition() -> None:
    rng = np.random.default_rng(1)
    scores = rng.normal(size=(4, 5))
    # The third label is true of all, the fourth of none: neither can be compared over clips.
    carried = np.array([[1, 0, 1, 0, 1], [1, 1, 1, 0, 0], [0, 1, 1, 0, 1], [0, 0, 1, 0, 0]], bool)
    groups = np.array([0, 0, 0, 1, 1])
    loss = exact_label_loss(
        LabelScales(), torch.tensor(scores), torch.tensor(carried), torch.tensor(groups)
    )

    def surprise(values: np.ndarray, true: np.ndarray) -> float | None:
        if true.all() or not true.any():
            return None
        false = sum(math.exp(10 * value) for value in values[~true])
        told = [math.log(1 + false / math.exp(10 * value)) for value in values[true]]
        return float(np.mean(told))

    def mean(values: list[float | None]) -> float:
        return float(np.mean([value for value in values if value is not None]))

    over_clips = mean([surprise(scores[:, v], carried[:, v]) for v in range(5)])
    over_labels = [
        mean([surprise(scores[b, groups == g], carried[b, groups == g]) for b in range(4)])
        for g in (0, 1)
    ]
    assert float(loss.detach()) == pytest.approx(over_clips + np.mean(over_labels), rel=1e-5)
    nothing = exact_label_loss(
        LabelScales(), torch.tensor(scores), torch.zeros(4, 5, dtype=torch.bool),
        torch.tensor(groups),
    )  # fmt: skip
    assert float(nothing.detach()) == 0.0


def test_a_network_learns_the_names_of_labels(corpus: TinyCorpus, tmp_path: Path) -> None:
    recipe = override(mulan_tiny(), [
        *corpus.data_settings, f"text_folder={corpus.text}", "contrast_weight=0",
        "exact_labels.weight=1", "exact_labels.groups=genre", "exact_labels.fewest_tracks=1",
        "optimiser.updates=40", "optimiser.peak_lr=0.01", "data.phases.0.until_update=40",
        "data.phases.1.until_update=41", "loop.validate_every=40",
    ])  # fmt: skip
    train_mulan(recipe, tmp_path / "run", "tiny", resume=False)
    task = MulanTask(recipe, open_training_data(recipe.data))
    fresh = float(task.loss(task.batch(0)).metrics["labels"])
    trained = override(recipe, [f"start_from={tmp_path / 'run'}"])
    task = MulanTask(trained, open_training_data(recipe.data))
    task.module.eval()
    with torch.no_grad():
        assert float(task.loss(task.batch(0)).metrics["labels"]) < 0.7 * fresh
