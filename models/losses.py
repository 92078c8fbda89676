"""Losses: masked prediction of codes, and contrast between audio and text.

Legend: B batch, S states (tokens), Q codebooks, K codes per codebook, N pairs, E embedding width.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.networks.config import ContrastiveKind

INITIAL_TEMPERATURE = 10.0
INITIAL_SIGMOID_BIAS = -10.0


@dataclass(frozen=True)
class MaskedPrediction:
    """Loss and accuracy over masked tokens: scalars, and one value for each codebook [Q]."""

    loss: Tensor
    accuracy: Tensor
    codebook_losses: Tensor
    codebook_accuracies: Tensor


def masked_prediction(logits: Tensor, codes: Tensor, token_mask: Tensor) -> MaskedPrediction:
    """Cross-entropy of logits [B, S, Q * K] against codes [B, Q, S] where the mask [B, S] is true.

    Equal weights for all masked tokens and codebooks; unmasked tokens do not count. Source: muq
    paper, masked prediction; agrees with the published loss. Raises ValueError where nothing is
    masked: the mean of nothing would be NaN.
    """
    if not bool(token_mask.any()):
        raise ValueError("no token is masked, so there is nothing to predict")
    books = codes.shape[1]
    masked_logits = logits[token_mask].reshape(-1, books, logits.shape[-1] // books)
    masked_codes = codes.transpose(1, 2)[token_mask]
    # Cross-entropy wants the classes second: [tokens, K, Q] against [tokens, Q].
    losses = functional.cross_entropy(
        masked_logits.transpose(1, 2), masked_codes, reduction="none"
    ).mean(dim=0)
    hits = (masked_logits.argmax(dim=-1) == masked_codes).to(losses.dtype).mean(dim=0)
    return MaskedPrediction(losses.mean(), hits.mean(), losses, hits)


class ContrastiveLoss(nn.Module):
    """Contrast of paired unit vectors, with a learned temperature (and bias, for the sigmoid).

    `decoupled` (the published recipe) leaves the positive out of the denominator, `softmax` is
    InfoNCE in both directions, `sigmoid` judges each pair by itself. As published, the logarithm
    of the temperature starts at ln 10 and is not clamped.
    """

    def __init__(self, kind: ContrastiveKind = "decoupled") -> None:
        super().__init__()
        self.kind = kind
        self.log_temperature = nn.Parameter(torch.tensor(math.log(INITIAL_TEMPERATURE)))
        self.bias = nn.Parameter(torch.tensor(INITIAL_SIGMOID_BIAS)) if kind == "sigmoid" else None

    def forward(self, audio: Tensor, text: Tensor) -> Tensor:
        """Loss, a scalar, of audio [N, E] and text [N, E], where row i belongs to row i."""
        if audio.shape != text.shape or audio.ndim != 2:
            raise ValueError(f"expected two [N, E], not {tuple(audio.shape)}, {tuple(text.shape)}")
        similarities = audio @ text.T * self.log_temperature.exp()
        if self.bias is not None:
            return sigmoid_contrast(similarities + self.bias)
        return softmax_contrast(similarities, decoupled=self.kind == "decoupled")


def softmax_contrast(similarities: Tensor, decoupled: bool) -> Tensor:
    """Mean of InfoNCE over rows and over columns of scaled similarities [N, N].

    `decoupled` leaves the diagonal out of the denominators (decoupled contrastive learning); it
    then needs at least two pairs and raises ValueError otherwise. In log space, unlike the
    published code, so that it does not overflow at high temperatures; the values are the same.
    """
    if decoupled and len(similarities) < 2:
        raise ValueError("decoupled contrast needs at least two pairs")
    positives = similarities.diagonal()
    rivals = similarities
    if decoupled:
        own = torch.eye(len(similarities), dtype=torch.bool, device=similarities.device)
        rivals = similarities.masked_fill(own, float("-inf"))
    over_texts = torch.logsumexp(rivals, dim=1)
    over_audio = torch.logsumexp(rivals, dim=0)
    return (0.5 * (over_texts + over_audio) - positives).mean()


def sigmoid_contrast(similarities: Tensor, positives: Tensor | None = None) -> Tensor:
    """Sum of every pair's own log-likelihood over N, for scaled similarities [N, N].

    True in `positives` [N, N] are the pairs that belong together; without it the diagonal does.
    """
    pairs = len(similarities)
    if positives is None:
        positives = torch.eye(pairs, device=similarities.device, dtype=torch.bool)
    signs = 2.0 * positives.to(similarities.dtype) - 1.0
    return -functional.logsigmoid(signs * similarities).sum() / pairs


def multi_positive_contrast(similarities: Tensor, positives: Tensor, decoupled: bool) -> Tensor:
    """InfoNCE where several texts fit a clip: mean over each side's positives, both directions.

    similarities [N, N] are scaled, positives [N, N] true where clip and text fit (the diagonal
    always). `decoupled` leaves all positives out of the denominators, and with them rows that have
    no negative. With the diagonal alone it is `softmax_contrast`.
    """
    rivals = similarities.masked_fill(positives, float("-inf")) if decoupled else similarities
    weights = positives.to(similarities.dtype)
    return 0.5 * sum(
        (_one_direction(similarities, rivals, weights, dim) for dim in (0, 1)),
        start=torch.zeros((), device=similarities.device),
    )


def _one_direction(similarities: Tensor, rivals: Tensor, weights: Tensor, dim: int) -> Tensor:
    usable = torch.isfinite(rivals).any(dim=dim)
    # A row without rivals would give -inf, and gradients that are not finite.
    safe = torch.where(usable.unsqueeze(dim), rivals, torch.zeros_like(rivals))
    fitting = (similarities * weights).sum(dim=dim) / weights.sum(dim=dim)
    losses = torch.logsumexp(safe, dim=dim) - fitting
    return torch.where(usable, losses, torch.zeros_like(losses)).mean()
