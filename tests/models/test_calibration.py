from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.bundle.calibration import (
    Calibration,
    Method,
    calibration_from_json,
    calibration_to_json,
    fit_calibration,
)
from models.errors import BundleFormatError

METHODS: tuple[Method, ...] = ("logistic", "isotonic")


def labelled(pairs: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Relevances, labels drawn with a known probability, and that probability."""
    generator = np.random.default_rng(seed)
    relevances = generator.uniform(0.01, 0.999, pairs)
    truth = 1 / (1 + np.exp(-(1.5 * np.log(relevances / (1 - relevances)) - 2)))
    return relevances, (generator.uniform(size=pairs) < truth).astype(float), truth


@pytest.mark.parametrize("method", METHODS)
def test_known_probabilities_are_recovered(method: Method) -> None:
    relevances, labels, truth = labelled(20_000)
    calibration = fit_calibration(relevances, labels, method=method)
    found = np.array([calibration.probability(r) for r in relevances[:2000]])
    assert np.abs(found - truth[:2000]).mean() < 0.02
    assert calibration.facts["pairs"] == 20_000
    assert calibration.facts["log_loss"] < 0.5


@pytest.mark.parametrize("method", METHODS)
def test_labels_that_separate_perfectly_do_not_break_the_fit(method: Method) -> None:
    relevances = np.linspace(0, 1, 50)
    calibration = fit_calibration(relevances, relevances > 0.7, method=method)
    assert calibration.probability(0.99) > 0.9
    assert calibration.probability(0.1) < 0.1


@pytest.mark.parametrize("method", METHODS)
def test_it_survives_a_round_trip(method: Method) -> None:
    relevances, labels, _ = labelled(300)
    calibration = fit_calibration(relevances, labels, method=method, facts={"fitted_on": "made up"})
    assert calibration_from_json(calibration_to_json(calibration)) == calibration
    assert calibration.facts["fitted_on"] == "made up"


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=4, max_size=40).filter(
        lambda pairs: len({label for _, label in pairs}) == 2
    )
)
def test_isotonic_fits_never_decrease(pairs: list[tuple[float, bool]]) -> None:
    relevances, labels = zip(*pairs, strict=True)
    calibration = fit_calibration(relevances, labels, method="isotonic")
    found = [calibration.probability(r) for r in np.linspace(0, 1, 50)]
    assert all(0 <= p <= 1 for p in found)
    assert found == sorted(found)


def test_one_kind_of_label_cannot_be_calibrated() -> None:
    for labels in ([1, 1, 1], [0, 0, 0], [0, 1, 2]):
        with pytest.raises(ValueError, match="both"):
            fit_calibration([0.1, 0.5, 0.9], labels)
    with pytest.raises(ValueError, match="same length"):
        fit_calibration([0.1, 0.5], [1])


def test_a_model_that_ranks_backwards_is_not_calibrated() -> None:
    relevances = np.linspace(0.01, 0.99, 100)
    with pytest.raises(ValueError, match="less often right"):
        fit_calibration(relevances, relevances < 0.5)


@pytest.mark.parametrize(
    "changes",
    [
        {"knots": []},
        {"knots": [1.0, 0.0]},
        {"probabilities": [0.9, 0.1]},
        {"probabilities": [0.1, 1.2]},
        {"probabilities": [0.5]},
        {"facts": None},
    ],
)
def test_files_that_are_no_calibration_are_refused(changes: dict[str, object]) -> None:
    sound = {"method": "logistic", "knots": [0.0, 1.0], "probabilities": [0.1, 0.9], "facts": {}}
    assert calibration_from_json(json.dumps(sound).encode()) == Calibration(
        "logistic", (0.0, 1.0), (0.1, 0.9), {}
    )
    with pytest.raises(BundleFormatError):
        calibration_from_json(json.dumps({**sound, **changes}).encode())
    with pytest.raises(BundleFormatError):
        calibration_from_json(b"[]")
