"""Losses against direct formulas, and at their edges."""

import math

import pytest
import torch
from torch.nn import functional

from models.losses import ContrastiveLoss, masked_prediction
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
