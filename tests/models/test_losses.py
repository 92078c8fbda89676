"""Losses against direct formulas, and at their edges."""

import math

import pytest
import torch
from torch.nn import functional

from models.losses import (
    ContrastiveLoss,
    masked_prediction,
    multi_positive_contrast,
    sigmoid_contrast,
    softmax_contrast,
)
from models.networks.config import ContrastiveKind
from tests.models.shapes import noise


def unit_pairs(pairs: int, width: int = 6) -> tuple[torch.Tensor, torch.Tensor]:
    return (
        functional.normalize(noise(pairs, width, seed=1), dim=1),
        functional.normalize(noise(pairs, width, seed=2), dim=1),
    )


def test_masked_prediction_counts_masked_tokens_alone() -> None:
    logits = noise(2, 5, 3 * 7)
    codes = torch.randint(0, 7, (2, 3, 5), generator=torch.Generator().manual_seed(0))
    mask = torch.tensor([[1, 0, 0, 1, 0], [0, 0, 1, 0, 0]], dtype=torch.bool)
    losses, hits = [], []
    for row, token in mask.nonzero().tolist():
        for book in range(3):
            scores = logits[row, token, book * 7 : (book + 1) * 7].log_softmax(dim=0)
            losses.append(-scores[codes[row, book, token]])
            hits.append(float(scores.argmax() == codes[row, book, token]))
    prediction = masked_prediction(logits, codes, mask)
    assert torch.isclose(prediction.loss, torch.stack(losses).mean())
    assert prediction.accuracy.item() == pytest.approx(sum(hits) / len(hits))
    by_book = torch.stack(losses).reshape(-1, 3).mean(dim=0)
    assert torch.allclose(prediction.codebook_losses, by_book)
    assert prediction.codebook_accuracies.shape == (3,)
    changed = logits.clone()
    changed[~mask] += 10.0
    assert torch.equal(masked_prediction(changed, codes, mask).loss, prediction.loss)


def test_untrained_logits_cost_the_logarithm_of_the_codes() -> None:
    codes = torch.zeros(1, 8, 4, dtype=torch.long)
    mask = torch.ones(1, 4, dtype=torch.bool)
    loss = masked_prediction(torch.zeros(1, 4, 8 * 1024), codes, mask).loss
    assert loss.item() == pytest.approx(math.log(1024), rel=1e-6)


def test_nothing_masked_is_an_error() -> None:
    with pytest.raises(ValueError, match="no token is masked"):
        masked_prediction(noise(1, 2, 4), torch.zeros(1, 1, 2).long(), torch.zeros(1, 2).bool())


def test_softmax_contrast_is_the_mean_of_both_cross_entropies() -> None:
    audio, text = unit_pairs(5)
    scores = 10.0 * audio @ text.T
    labels = torch.arange(5)
    expected = (
        functional.cross_entropy(scores, labels) + functional.cross_entropy(scores.T, labels)
    ) / 2
    assert torch.isclose(ContrastiveLoss("softmax")(audio, text), expected)


def test_decoupled_contrast_leaves_the_pair_out_of_the_sum() -> None:
    audio, text = unit_pairs(3)
    scores = (10.0 * audio @ text.T).double()
    terms = []
    for i in range(3):
        others = [j for j in range(3) if j != i]
        rows, columns = scores[i, others].exp().sum(), scores[others, i].exp().sum()
        terms.append(-scores[i, i] + 0.5 * (rows.log() + columns.log()))
    loss = ContrastiveLoss("decoupled")(audio, text)
    assert torch.isclose(loss, torch.stack(terms).mean().float())
    with pytest.raises(ValueError, match="at least two pairs"):
        ContrastiveLoss("decoupled")(audio[:1], text[:1])


def test_sigmoid_contrast_judges_each_pair() -> None:
    audio, text = unit_pairs(3)
    contrast = ContrastiveLoss("sigmoid")
    scores = 10.0 * audio @ text.T - 10.0
    expected = sum(
        math.log1p(math.exp(-(1 if i == j else -1) * scores[i, j].item()))
        for i in range(3)
        for j in range(3)
    )
    assert contrast(audio, text).item() == pytest.approx(expected / 3, rel=1e-5)
    assert {name for name, _ in contrast.named_parameters()} == {"log_temperature", "bias"}


@pytest.mark.parametrize("kind", ["decoupled", "softmax", "sigmoid"])
def test_true_pairs_cost_less_and_temperature_does_not_overflow(kind: ContrastiveKind) -> None:
    audio, text = unit_pairs(6)
    contrast = ContrastiveLoss(kind)
    assert contrast(audio, audio) < contrast(audio, text)
    with torch.no_grad():
        contrast.log_temperature.fill_(math.log(1000.0))
    loss = contrast(audio.requires_grad_(), text)
    loss.backward()
    assert torch.isfinite(loss)
    assert audio.grad is not None
    assert torch.isfinite(audio.grad).all()


def test_unpaired_shapes_are_refused() -> None:
    audio, text = unit_pairs(4)
    with pytest.raises(ValueError, match=r"two \[N, E\]"):
        ContrastiveLoss()(audio, text[:3])


def brute_multi_positive(scores: torch.Tensor, fits: torch.Tensor, decoupled: bool) -> float:
    """Every term of the loss by itself, in double precision."""
    total, pairs = 0.0, len(scores)
    exact = scores.detach().double()
    for rows, right in ((exact, fits), (exact.T, fits.T)):
        for i in range(pairs):
            rivals = [j for j in range(pairs) if not (decoupled and right[i, j])]
            if not rivals:
                continue
            spread = math.log(sum(math.exp(rows[i, j]) for j in rivals))
            mine = [float(rows[i, j]) for j in range(pairs) if right[i, j]]
            total += 0.5 * (spread - sum(mine) / len(mine)) / pairs
    return total


FITS = torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [0, 0, 1, 0], [1, 0, 0, 1]], dtype=torch.bool)


@pytest.mark.parametrize("decoupled", [False, True])
def test_several_right_texts_share_a_clip(decoupled: bool) -> None:
    audio, text = unit_pairs(4)
    scores = (5.0 * audio @ text.T).requires_grad_()
    loss = multi_positive_contrast(scores, FITS, decoupled)
    assert loss.item() == pytest.approx(brute_multi_positive(scores, FITS, decoupled), rel=1e-5)
    alone = multi_positive_contrast(scores, torch.eye(4, dtype=torch.bool), decoupled)
    torch.testing.assert_close(alone, softmax_contrast(scores, decoupled))
    # A clip for which every text is right has no rival; its gradients stay finite.
    crowded = FITS.clone()
    crowded[0] = True
    loss = multi_positive_contrast(scores, crowded, decoupled)
    assert loss.item() == pytest.approx(brute_multi_positive(scores, crowded, decoupled), rel=1e-5)
    loss.backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()


def test_sigmoid_takes_several_positives() -> None:
    audio, text = unit_pairs(4)
    scores = 5.0 * audio @ text.T - 2.0
    expected = sum(
        math.log1p(math.exp(-(1 if FITS[i, j] else -1) * scores[i, j].item()))
        for i in range(4)
        for j in range(4)
    )
    assert sigmoid_contrast(scores, FITS).item() == pytest.approx(expected / 4, rel=1e-5)


# Similarities of three pairs, and the losses that a calculation in 50 digits gives for them.
GOLDEN_SCORES = [[2.0, -1.0, 0.5], [0.0, 1.5, -0.5], [1.0, 0.25, 3.0]]
GOLDEN = {
    "softmax": 0.2595292105,
    "decoupled": -1.301531046,
    "sigmoid": 1.656897528,
    "gradient": [
        -0.09152700161,
        0.01651506143,
        0.04151484941,
        0.0423803668,
        -0.08886602441,
        0.02112877903,
        0.05959619468,
        0.04377483758,
        -0.0445170629,
    ],
}


def test_losses_are_the_golden_ones() -> None:
    scores = torch.tensor(GOLDEN_SCORES, requires_grad=True)
    assert softmax_contrast(scores, decoupled=False).item() == pytest.approx(GOLDEN["softmax"])
    assert softmax_contrast(scores, decoupled=True).item() == pytest.approx(GOLDEN["decoupled"])
    assert sigmoid_contrast(scores).item() == pytest.approx(GOLDEN["sigmoid"])
    softmax_contrast(scores, decoupled=False).backward()
    assert scores.grad is not None
    for got, expected in zip(scores.grad.flatten().tolist(), GOLDEN["gradient"], strict=True):
        assert got == pytest.approx(expected, abs=1e-6)
