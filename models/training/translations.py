"""Teach the text side of a finished contrastive run that a translated word means what the English
one does.

Legend: N pairs of texts, G general texts, P width before the last linear map, E embedding width.

A frozen multilingual encoder puts translations near each other, not onto each other, and a map that
was trained on English texts need not carry the difference. So the last map is changed by the
smallest amount, in the sense of ridge regression with weights, that sends the translation of a text
where the text goes, and leaves general English texts where they are. It is one linear system.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.checksum import file_sha256
from models.networks.muq_mulan import MuQMuLan
from models.training.checkpoint import read_extras, rewrite_weights
from models.training.manifest import read_manifest
from models.training.mulan import load_trained_mulan
from models.training.queries import mixed_queries, vocabulary
from models.training.run import Run, RunError
from models.training.tag_words import list_translations
from models.training.text_table import TextReader

_RIDGE = 1e-6
_EVERY = 2
_HEADER = "translations"
_WEIGHT = "model.mulan.text.to_embedding.weight"

Floats = NDArray[np.float64]


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

    General texts are the words that the teacher is asked by, mixtures of them, and every second
    track's first caption; `keep` is their weight, as in `moved_map` (docs/experiments.md says what
    it trades). Raises RunError for a run that reads no sentence embeddings.
    """
    trained = load_trained_mulan(run, checkpoint)
    reader = trained.reader
    if not isinstance(reader, TextReader) or reader.reading != "pooled":
        raise RunError("translations are taught to a text side that reads sentence embeddings")
    pairs = list_translations()
    entries = read_manifest(Path(trained.recipe.data.manifest))
    captions = [entry.captions[0].text for entry in entries[::_EVERY] if entry.captions]
    general = list(dict.fromkeys([*vocabulary(), *mixed_queries(), *captions]))
    before = [
        _before_the_map(trained.network, reader, texts)
        for texts in ([pair[0] for pair in pairs], [pair[1] for pair in pairs], general)
    ]
    last = trained.network.text.to_embedding
    weight = moved_map(
        last.weight.detach().double().numpy(),
        (before[0], before[1]),
        before[2],
        keep,
    )
    folder = Run(run)
    rewrite_weights(
        folder.checkpoint(checkpoint),
        folder.checkpoint(out),
        {_WEIGHT: torch.from_numpy(weight)},
        {_HEADER: _facts(folder.checkpoint(checkpoint), keep)},
    )
    return len(pairs)


def is_taught(out: Path, source: Path, keep: float) -> bool:
    """Whether `out` is there and made of this very checkpoint and these translations."""
    if not out.exists() or not source.exists():
        return False
    return bool(read_extras(out).get(_HEADER) == _facts(source, keep))


def _facts(source: Path, keep: float) -> dict[str, Any]:
    return {"pairs": len(list_translations()), "keep": keep, "source_sha256": file_sha256(source)}


def _before_the_map(network: MuQMuLan, reader: TextReader, texts: Sequence[str]) -> Floats:
    tower = network.text
    states = torch.from_numpy(reader.embed(texts)).float()
    with torch.no_grad():
        if tower.projection is not None:
            states = tower.projection(states)
        mask = torch.ones(len(states), 1, dtype=torch.bool)
        before: Floats = tower.transformer(states[:, None], mask)[:, 0].double().numpy()
    return before
