"""Overrides reach nested fields, and are refused where they do not fit."""

from __future__ import annotations

import json

import pytest

from models.training.recipes import RECIPES, muq_small
from models.training.settings import SettingError, from_json, override, to_json


@pytest.mark.parametrize(
    "make", [make for recipes in RECIPES.values() for make in recipes.values()]
)
def test_recipes_survive_json(make: object) -> None:
    recipe = make()  # type: ignore[operator]
    assert from_json(type(recipe), json.loads(json.dumps(to_json(recipe)))) == recipe


def test_overrides_reach_every_level() -> None:
    recipe = override(
        muq_small(),
        ["optimiser.peak_lr=2e-3", "data.phases.0.batch_size=7", "loop.precision=fp32",
         "optimiser.betas=0.8,0.9", "muq.conformer.layers=2", "muq.conformer.rotary=false"],
    )  # fmt: skip
    assert recipe.optimiser.peak_lr == 2e-3
    assert recipe.data.phases[0].batch_size == 7
    assert recipe.loop.precision == "fp32"
    assert recipe.optimiser.betas == (0.8, 0.9)
    assert (recipe.muq.conformer.layers, recipe.muq.conformer.rotary) == (2, False)
    assert muq_small().optimiser.peak_lr == 1e-3


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("optimiser.peak_lr", "not of the form"),
        ("optimiser.speed=1", "no field 'speed'"),
        ("optimiser.updates=many", "no int"),
        ("loop.precision=fp8", "none of fp32, bf16"),
        ("data.phases.5.crop_s=1", "nothing called '5'"),
        ("muq=large", "cannot be set as a whole"),
        ("optimiser.peak_lr=-1", "must be above 0"),
    ],
)
def test_what_does_not_fit_is_refused(assignment: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        override(muq_small(), [assignment])


def test_a_stored_field_that_is_unknown_is_refused() -> None:
    values = to_json(muq_small())
    values["optimiser"]["speed"] = 3
    with pytest.raises(SettingError, match="speed"):
        from_json(type(muq_small()), values)
