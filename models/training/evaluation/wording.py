"""`python -m models.training.evaluation.wording`: what a bundle makes of other wordings.

Legend: S sentences, E embedding width.

Three questions about the text side. Does a sentence keep its meaning with typing errors, in other
letters, with its words in another order? Do different sentences lie apart? And is a label known
whose words no text of the training had? The sentences are those of the free-text set, which was
written before training; a meaning is kept as far as the vector stays, and with it the first ten
of the bundle's reference clips.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models.interface import MusicTextEncoder, Vectors
from models.training.evaluation.free_text import read_free_text
from models.training.manifest import ManifestEntry, read_manifest
from models.training.metrics import Interval, bootstrap
from models.training.misspelling import mistype_all, mistype_one
from models.training.queries import mixed_queries, vocabulary
from models.training.sayings import the_sayings
from models.training.teacher.search import spoken_tags
from models.training.teacher.vocabulary import TEACHER_TAGS
from models.training.telling import SAYINGS

FIRST = 10

Change = Callable[[str, np.random.Generator], str]


def reorder(text: str, rng: np.random.Generator) -> str:
    """The same words in a random order."""
    return " ".join(rng.permutation(text.split(" ")).tolist())


CHANGES: Mapping[str, Change] = {
    "CAPITALS": lambda text, _: text.upper(),
    "small letters": lambda text, _: text.lower(),
    "a typing error in one long word": mistype_one,
    "a typing error in each long word": mistype_all,
    "the words in another order": reorder,
}


@dataclass(frozen=True)
class Kept:
    """How much of a sentence's meaning a change leaves: its cosine, its first reference clips."""

    change: str
    cosine: Interval
    first_clips: Interval


def measure_wording(
    encoder: MusicTextEncoder, sentences: Sequence[str], changes: Mapping[str, Change] = CHANGES
) -> list[Kept]:
    """Change every sentence; ValueError where the bundle has too few reference clips to search."""
    plain = encoder.embed_text(sentences)
    found = []
    for name, change in changes.items():
        rng = np.random.default_rng(0)
        other = encoder.embed_text([change(text, rng) for text in sentences])
        found.append(_kept(name, plain, other, encoder.reference, sentences))
    return found


def measure_apart(encoder: MusicTextEncoder, sentences: Sequence[str]) -> tuple[Kept, float]:
    """The same of pairs of different sentences, each with the next, and the highest cosine."""
    vectors = encoder.embed_text(sentences)
    cosines = vectors @ vectors.T - 2 * np.eye(len(vectors), dtype=np.float32)
    others = np.roll(vectors, 1, axis=0)
    kept = _kept("another sentence", vectors, others, encoder.reference, sentences)
    return kept, float(cosines.max())


def words_of(texts: Iterable[str]) -> set[str]:
    """All words, in small letters."""
    return {word for text in texts for word in re.findall(r"\w+", text.lower())}


def list_training_texts(entries: Sequence[ManifestEntry], told: bool = False) -> list[str]:
    """Every text that training may have used: captions, the teacher's tags, its queries.

    With `told`, what listeners say for plain terms, too.
    """
    said = [saying.text for saying in the_sayings()] if told else []
    captions = [caption.text for entry in entries for caption in entry.captions]
    tags = [value for entry in entries for values in entry.tags.values() for value in values]
    return [*said, *captions, *tags, *spoken_tags(TEACHER_TAGS), *vocabulary(), *mixed_queries()]


def unheard_labels(report: Mapping[str, Any], heard: set[str]) -> list[tuple[str, str, float]]:
    """Labels of an evaluation's report with a word that is not in `heard`: set, label, ROC-AUC."""
    return [
        (str(table["set"]), str(label["label"]), float(label["roc_auc"]))
        for table in report["tags"]
        for label in table["labels"]
        if not words_of([label["label"]]) <= heard and "+" not in table["kind"]
    ]


def _kept(
    name: str, one: Vectors, other: Vectors, reference: Vectors, sentences: Sequence[str]
) -> Kept:
    if len(reference) < FIRST:
        raise ValueError(f"a bundle with fewer than {FIRST} reference clips cannot be asked this")
    cosines = (one * other).sum(axis=1).astype(np.float64)
    shares = np.array(
        [
            len(_first(vector, reference) & _first(changed, reference)) / FIRST
            for vector, changed in zip(one, other, strict=True)
        ]
    )
    return Kept(
        change=name,
        cosine=bootstrap(_mean_of(cosines), sentences, chance=0.0),
        first_clips=bootstrap(_mean_of(shares), sentences, chance=FIRST / len(reference)),
    )


def _first(vector: NDArray[np.float32], reference: Vectors) -> set[int]:
    return set(np.argsort(-(reference @ vector))[:FIRST].tolist())


def _mean_of(values: NDArray[np.float64]) -> Callable[[NDArray[np.int64]], float]:
    return lambda items: float(values[items].mean())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m models.training.evaluation.wording")
    parser.add_argument("--model", default=None, help="a bundle's name or folder")
    parser.add_argument("--manifest", type=Path, help="the corpus, to know which words it has")
    parser.add_argument("--report", type=Path, help="report.json of `muquery evaluate bundled`")
    options = parser.parse_args()
    encoder = models.load_bundle(options.model)
    sentences = [each.text for each in read_free_text()]
    apart, highest = measure_apart(encoder, sentences)
    print(f"{encoder.name} ({encoder.model_id}), {len(sentences)} sentences\n")
    print("| changed | cosine | first ten clips kept |\n| --- | --- | --- |")
    for kept in [*measure_wording(encoder, sentences), apart]:
        print(f"| {kept.change} | {kept.cosine} | {kept.first_clips} |")
    print(f"\nThe nearest two different sentences: cosine {highest:.3f}.")
    if options.manifest and options.report:
        told = SAYINGS in encoder.manifest.lineage
        heard = words_of(list_training_texts(read_manifest(options.manifest), told))
        found = unheard_labels(json.loads(options.report.read_text("utf-8")), heard)
        for name, label, roc_auc in found:
            print(f"never read in training: {label!r} ({name}): ROC-AUC {roc_auc:.3f}")
        new = [text for text in sentences if not words_of([text]) <= heard]
        print(f"{len(new)} of {len(sentences)} sentences have a word never read in training.")


if __name__ == "__main__":
    main()
