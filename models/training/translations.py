"""Teach the text side of a finished contrastive run that a translated word means what the English
one does.

Legend: N pairs of texts, G general texts, P width before the last linear map, E embedding width.

A frozen multilingual encoder puts translations near each other, not onto each other, and a map that
was trained on English texts need not carry the difference. So the last map is changed by the
smallest amount, in the sense of ridge regression with weights, that sends the translation of a text
where the text goes, and leaves general English texts where they are. It is one linear system.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from models.training.queries import mixed_queries, vocabulary
from models.training.run import Run
from models.training.tag_words import list_translations
from models.training.text_side import Floats, is_made_of, made_of, open_text_side

_RIDGE = 1e-6
_HEADER = "translations"


def moved_map(weight: Floats, pairs: tuple[Floats, Floats], general: Floats, keep: float) -> Floats:
    """Return the weight [E, P] that sends the second of each pair [N, P] where the first goes.

    `keep` weighs the general texts [G, P], which are to stay.
    """
    english, translated = pairs
    missing = (english - translated) @ weight.T
    system = translated.T @ translated / len(translated) + keep * general.T @ general / len(general)
    system += _RIDGE * np.eye(system.shape[0])
    change = np.linalg.solve(system, translated.T @ missing / len(translated)).T
    return np.asarray(weight + change)


def teach_translations(run: Path, checkpoint: str, out: str, keep: float) -> int:
    """Write a checkpoint of a mulan run whose text side knows translations; return the pairs.

    `keep` weighs the settled texts, as in `moved_map` (docs/experiments.md says what it trades).
    Raises RunError for a run that reads no sentence embeddings.
    """
    side = open_text_side(run, checkpoint)
    pairs = list_translations()
    # What training has settled: the words that the teacher is asked by, mixtures, captions.
    settled = list(dict.fromkeys([*vocabulary(), *mixed_queries(), *side.captions()]))
    english, translated, general = (
        side.sentence_states(texts)
        for texts in ([pair[0] for pair in pairs], [pair[1] for pair in pairs], settled)
    )
    weight = moved_map(side.weight, (english, translated), general, keep)
    side.write(out, weight, {_HEADER: made_of(Run(run).checkpoint(checkpoint), _facts(keep))})
    return len(pairs)


def is_taught(out: Path, source: Path, keep: float) -> bool:
    """Whether `out` is there and made of this very checkpoint and these translations."""
    return is_made_of(out, source, _HEADER, _facts(keep))


def _facts(keep: float) -> dict[str, Any]:
    return {"pairs": len(list_translations()), "keep": keep}
