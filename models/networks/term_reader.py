"""A text side's second way of reading: by single words, as one of a list of plain terms.

Legend: N texts, L tokens, V vocabulary, R known pieces, D width of a piece, P width of a sentence
state, K terms, E embedding width.

A frozen sentence encoder says what a sentence is about; that a squeezebox is an accordion it need
not know, and no linear map can put it there. Here every piece of a text that was seen in training
has a vector of its own, as in fastText (Joulin et al., arXiv 1607.01759); their sum and the
sentence state name the plain terms that the text means, or none of them. What means none stays
where it was.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.networks.config import TermReaderConfig
from models.networks.weight_norm import unit


class TermReader(nn.Module):
    """Moves a text's vector towards the terms that the text means without saying them.

    `rows` [V] says which row of the table a token has, 0 for none; `rarity` [R + 1] is how much a
    piece counts, 0 for row 0; `centre` [P] is subtracted from sentence states; `terms` [K, E] are
    where the terms lie. All are fitted, none is learned by gradients from here (models.training).
    """

    rows: Tensor
    centre: Tensor

    def __init__(self, config: TermReaderConfig, state_width: int, embed_dim: int) -> None:
        super().__init__()
        self.config = config
        self.register_buffer("rows", torch.zeros(config.vocab_size, dtype=torch.int32))
        self.register_buffer("centre", torch.zeros(state_width))
        # Parameters, so that an export rounds them in both runtimes alike.
        self.rarity = nn.Parameter(torch.zeros(config.pieces + 1))
        self.terms = nn.Parameter(torch.zeros(config.terms, embed_dim))
        self.pieces = nn.Embedding(config.pieces + 1, config.piece_width)
        # The last answer is that a text means none of the terms.
        self.of_state = nn.Linear(state_width, config.terms + 1)
        self.of_pieces = nn.Linear(config.piece_width, config.terms + 1, bias=False)

    def forward(self, vectors: Tensor, states: Tensor, token_ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors [N, E] of texts that lay at unit vectors [N, E].

        `states` [N, P] are the sentences' states, `token_ids` and `mask` [N, L] the texts.
        """
        rows = self.rows[token_ids].long() * mask
        shares = torch.softmax(self.answers(states, rows), dim=-1)
        none = shares[:, -1:]
        kept = none + self.config.least_kept * (1.0 - none)
        return unit(kept * vectors + (1.0 - self.config.least_kept) * shares[:, :-1] @ self.terms)

    def answers(self, states: Tensor, rows: Tensor, seen: Tensor | None = None) -> Tensor:
        """Logits [N, K + 1] of the terms, and of none, from states [N, P] and table rows [N, L].

        `seen` [N, L] leaves pieces out where it is false, in training.
        """
        weights = self.rarity[rows]  # [N, L]
        if seen is not None:
            weights = weights * seen
        length = weights.square().sum(dim=1, keepdim=True).sqrt().clamp(min=1e-3)
        bag = (self.pieces(rows) * weights.unsqueeze(-1)).sum(dim=1) / length  # [N, D]
        logits: Tensor = self.of_state(states - self.centre) + self.of_pieces(bag)
        return logits
