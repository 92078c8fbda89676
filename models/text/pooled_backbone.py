"""A sentence encoder as a text tower's backbone: every token carries the sentence's embedding.

Legend: N texts, L tokens, E width of the sentence embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.text_encoder import TextStates
from models.text.ngram_encoder import NgramTextEncoder, TextEncoding


class PooledBackbone(nn.Module):
    """Sentence embeddings [N, E] as states [N, L, E], so that the tower's mean gives them back.

    The encoder was trained so that its sentence embeddings agree across languages; its token
    states were not. A tower that reads the former keeps that agreement.
    """

    def __init__(self, encoder: NgramTextEncoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextStates:
        """Token ids [N, L] and mask [N, L] to states [N, L, E]."""
        encoding: TextEncoding = self.encoder(token_ids, mask)
        length = token_ids.shape[1]
        return TextStates(torch.unsqueeze(encoding.pooled, 1).expand(-1, length, -1))
