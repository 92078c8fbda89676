import numpy as np
import pytest

from service.search.mixing import PartsCancelOut, WeightedVector, mix, unit


def random_unit(seed: int) -> np.ndarray:
    return unit(np.random.default_rng(seed).standard_normal(16).astype(np.float32))


def test_a_single_part_is_its_unit_vector_whatever_its_length_and_weight() -> None:
    vector = random_unit(1)
    mixed = mix([WeightedVector(vector * 7, weight=0.3)])
    np.testing.assert_allclose(mixed, vector, atol=1e-6)


def test_equal_weights_mean_equal_influence_although_lengths_differ() -> None:
    first, second = random_unit(1), random_unit(2)
    mixed = mix([WeightedVector(first * 0.5, 1.0), WeightedVector(second * 3, 1.0)])
    assert mixed @ first == pytest.approx(mixed @ second, abs=1e-6)
    assert np.linalg.norm(mixed) == pytest.approx(1, abs=1e-6)


def test_a_negative_part_lowers_what_resembles_it() -> None:
    wanted, unwanted = random_unit(1), random_unit(2)
    alone = mix([WeightedVector(wanted, 1.0)])
    without = mix([WeightedVector(wanted, 1.0), WeightedVector(unwanted, -0.5)])
    assert without @ unwanted < alone @ unwanted - 0.1


def test_parts_that_cancel_out_are_an_error_and_not_noise() -> None:
    vector = random_unit(1)
    with pytest.raises(PartsCancelOut):
        mix([WeightedVector(vector, 1.0), WeightedVector(vector, -1.0)])
