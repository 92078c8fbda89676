"""The learning rate at the points that define it."""

from __future__ import annotations

import pytest
import torch

from models.training.schedule import OptimiserConfig, learning_rate, make_optimiser


def test_published_schedule_warms_up_and_reaches_zero() -> None:
    config = OptimiserConfig(5e-4, updates=400_000, warmup_updates=32_000, decay="linear")
    assert learning_rate(config, 0) == pytest.approx(5e-4 / 32_000)
    assert learning_rate(config, 31_999) == pytest.approx(5e-4)
    assert learning_rate(config, 32_000) == pytest.approx(5e-4)
    assert learning_rate(config, 216_000) == pytest.approx(2.5e-4)
    assert learning_rate(config, 400_000) == 0.0


def test_constant_and_cosine() -> None:
    constant = OptimiserConfig(1e-4, updates=10)
    assert {learning_rate(constant, update) for update in range(10)} == {1e-4}
    cosine = OptimiserConfig(1.0, updates=100, decay="cosine")
    assert learning_rate(cosine, 50) == pytest.approx(0.5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"peak_lr": 0.0},
        {"updates": 0},
        {"warmup_updates": 11},
        {"decay": "steps"},
        {"clip_norm": -1},
    ],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # every message differs
        OptimiserConfig(**{"peak_lr": 1.0, "updates": 10, **wrong})  # type: ignore[arg-type]


def test_vectors_do_not_decay() -> None:
    module = torch.nn.Linear(3, 2)
    optimiser = make_optimiser(
        OptimiserConfig(1.0, updates=1, weight_decay=0.1), module.parameters()
    )
    decays = {
        p.ndim: group["weight_decay"] for group in optimiser.param_groups for p in group["params"]
    }
    assert decays == {2: 0.1, 1: 0.0}
