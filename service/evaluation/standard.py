"""`python -m service.evaluation.standard`: measures the standard vocabulary, and writes its marks.

Legend: T tracks, L labels.

For every label: how well its score orders the tracks of each yardstick, a threshold at which half
of the tracks that it is given to are right, and three at least (the usual one if that finds a fifth
of those that it is true for, else the lowest), and whether it is weak. With `--write` all three go
into `standard.json`; wordings and groups stay as they are. For when the bundled model changes.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import models
from models.interface import MusicTextEncoder
from service.evaluation.label_evidence import (
    GENRES,
    HEARD,
    PLAYED,
    REMARKS,
    RENDERED,
    means_genre,
    means_played,
    means_rendered,
)
from service.evaluation.music import Recording, label_recordings, read_recordings
from service.evaluation.ranks import roc_auc, table
from service.tagging.scoring import THRESHOLD, LabelScorer, label_vectors
from service.tagging.store import STANDARD_FILE
from service.tagging.vocabulary import Label, LabelSet, label_set_from_json, label_set_to_json

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

THRESHOLDS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.5)
LEAST_ROC_AUC = 0.75
LEAST_RIGHT = 0.5
LEAST_FOUND = 0.2
# Fewer tracks than this, true or rightly given, say nothing about a label; one says nothing about
# a yardstick.
_FEWEST = 3
_FEWEST_OF_A_YARDSTICK = 2
_AGREEING_SHARE = 0.2


@dataclass(frozen=True, eq=False)
class Evidence:
    """One yardstick of one label: scores and probabilities [T], and for which tracks it is true."""

    name: str
    scores: Floats
    probabilities: Floats
    true: Bools

    @property
    def roc_auc(self) -> float:
        return roc_auc(self.scores, self.true)

    @property
    def is_agreement(self) -> bool:
        return self.name == "another tagger"

    def given(self, threshold: float) -> tuple[int, int]:
        """How many tracks the label is given to at a threshold, and how many of them are right."""
        chosen = self.probabilities >= threshold
        return int(chosen.sum()), int((chosen & self.true).sum())

    def described(self) -> str:
        value = f"{self.roc_auc:.2f}".removeprefix("0")
        if self.is_agreement:
            return f"agreement with another tagger {value}"
        return f"ROC-AUC {value} on {int(self.true.sum())} of {len(self.true)} {self.name}"


@dataclass(frozen=True, eq=False)
class _Scored:
    """Tracks [T] with the scores of all labels, and their probabilities to be given [T, L]."""

    tracks: Sequence[Recording]
    scores: Floats
    probabilities: Floats

    def evidence(self, name: str, column: int, true: Bools) -> Evidence:
        return Evidence(name, self.scores[:, column], self.probabilities[:, column], true)


@dataclass(frozen=True)
class Verdict:
    """What a label is worth: its threshold (None where it has none that will do), and why."""

    threshold: float | None
    note: str
    given: int
    right: int

    @property
    def weak(self) -> bool:
        return self.threshold is None


@dataclass(frozen=True, eq=False)
class Music:
    """Every yardstick's tracks; `heard` are the recordings of which the tagger spoke [T, tags]."""

    genres: Sequence[Recording]
    instruments: Sequence[Recording]
    renders: Sequence[Recording]
    songs: Sequence[Recording]
    heard: Sequence[Recording]
    tags: Sequence[str]
    opinions: Floats


def judge(label: str, evidence: Sequence[Evidence]) -> Verdict:
    """Choose a label's threshold from what is known about it; evidence must not be empty.

    Truth counts before agreement: a tagger decides only where nothing else is known.
    """
    truth = [each for each in evidence if not each.is_agreement] or list(evidence)
    note = "; ".join(each.described() for each in evidence)
    if label in REMARKS:
        note += f", {REMARKS[label]}" if truth[0].is_agreement else f"; {REMARKS[label]}"
    known = sum(int(each.true.sum()) for each in truth)
    if known < _FEWEST:
        return Verdict(None, f"{note}: too few to be sure", 0, 0)
    if max(each.roc_auc for each in evidence) < LEAST_ROC_AUC:
        return Verdict(None, note, 0, 0)
    fit = []
    for threshold in THRESHOLDS:
        counts = [each.given(threshold) for each in truth]
        given, right = (sum(column) for column in zip(*counts, strict=True))
        if right >= max(_FEWEST, LEAST_RIGHT * given):
            fit.append(Verdict(threshold, note, given, right))
    if not fit:
        return Verdict(None, f"{note}; of those that it is most likely for few are right", 0, 0)
    usual = [verdict for verdict in fit if verdict.threshold == THRESHOLD]
    return next((verdict for verdict in usual if verdict.right >= LEAST_FOUND * known), fit[0])


def gather(labels: LabelSet, music: Music, encoder: MusicTextEncoder) -> dict[str, list[Evidence]]:
    """Measure every label that has a yardstick. ValueError where the bundle is not calibrated."""
    prompts = labels.prompts(encoder.tag_templates)
    vectors = encoder.embed_text([text for texts in prompts for text in texts])
    scorer = LabelScorer(labels, label_vectors(prompts, vectors), encoder)
    sets = (music.genres, music.instruments, music.renders, music.songs, music.heard)
    genres, instruments, renders, songs, heard = [_score(scorer, tracks) for tracks in sets]
    found: dict[str, list[Evidence]] = {}
    for column, name in enumerate(placed.label.label for placed in scorer.placed):
        yardsticks = [
            ("recordings", genres, means_genre(name) if name in GENRES else None),
            ("recordings", instruments, means_played(name) if name in PLAYED else None),
            ("renders", renders, means_genre(name) if name in GENRES else None),
            ("renders", renders, means_rendered(name) if name in RENDERED else None),
            ("songs and guitars", songs, means_played(name) if name in PLAYED else None),
        ]
        evidence = [
            tracks.evidence(title, column, np.array([means(t.entry) for t in tracks.tracks]))
            for title, tracks, means in yardsticks
            if means is not None and tracks.tracks
        ]
        if name in HEARD and heard.tracks:
            true = _most_fitting(music, HEARD[name])
            evidence.append(heard.evidence("another tagger", column, true))
        # Where all tracks have it, or hardly one, there is nothing to tell apart.
        kept = [
            each for each in evidence if _FEWEST_OF_A_YARDSTICK <= each.true.sum() < len(each.true)
        ]
        if kept:
            found[name] = kept
    return found


def marked(labels: LabelSet, verdicts: dict[str, Verdict]) -> LabelSet:
    """The vocabulary with measured thresholds, weak marks and notes."""
    groups = tuple(
        dataclasses.replace(
            group,
            labels=tuple(_marked(label, verdicts.get(label.label)) for label in group.labels),
        )
        for group in labels.groups
    )
    return LabelSet(groups)


def read_music(
    genres: Sequence[Path], renders: Path, songs: Path, heard: Sequence[Path],
    opinions: Path, cache: Path, encoder: MusicTextEncoder,
) -> Music:  # fmt: skip
    """Read the yardsticks' manifests; what has no vectors yet is embedded."""
    documented = read_recordings(genres, cache, encoder)
    held_out = [each for each in read_recordings(heard, cache, encoder) if each.is_held_out]
    spoken = label_recordings(held_out, [opinions])
    by_id = {each.entry.id: each for each in held_out}
    return Music(
        genres=[each for each in documented if each.entry.tags.get("genre")],
        instruments=[each for each in documented if each.entry.tags.get("instrument")],
        renders=read_recordings([renders], cache, encoder, renders=True),
        songs=read_recordings([songs], cache, encoder),
        heard=[by_id[track.entry.id] for track in spoken.tracks],
        tags=spoken.names,
        opinions=spoken.labels() if spoken.tracks else np.zeros((0, len(spoken.names))),
    )


def vocabulary_text(content: dict[str, Any], labels: LabelSet) -> str:
    """The vocabulary's file: a label a line, so that a change of marks reads as one."""
    groups = []
    for group in label_set_to_json(labels)["groups"]:
        rows = ",\n".join(f"        {_json(label)}" for label in group.pop("labels"))
        fields = [f"      {_json(name)}: {_json(value)}," for name, value in group.items()]
        groups.append("\n".join(["    {", *fields, '      "labels": [', rows, "      ]", "    }"]))
    head = f'  "description": {_json(content["description"])},'
    return "\n".join(["{", head, '  "groups": [', ",\n".join(groups), "  ]", "}"]) + "\n"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _marked(label: Label, verdict: Verdict | None) -> Label:
    if verdict is None:
        return label
    threshold = None if verdict.threshold == THRESHOLD else verdict.threshold
    return dataclasses.replace(label, threshold=threshold, weak=verdict.weak, note=verdict.note)


def _score(scorer: LabelScorer, tracks: Sequence[Recording]) -> _Scored:
    if not tracks:
        nothing = np.zeros((0, len(scorer.placed)))
        return _Scored(tracks, nothing, nothing)
    scores = scorer.score(np.stack([track.clips.mean(axis=0) for track in tracks]))
    if scores.probabilities is None or scores.relevances is None:
        raise ValueError("only a calibrated bundle has probabilities to set thresholds for")
    probabilities = scores.probabilities.copy()
    for group in scorer.labels.groups:
        if group.choice == "single":
            # Of such a group a track gets one label: thresholds of the others do not matter to it.
            columns = [placed.column for placed in scorer.placed if placed.group == group]
            relevances = scores.relevances[:, columns]
            is_best = relevances == relevances.max(axis=1, keepdims=True)
            probabilities[:, columns] *= is_best
    return _Scored(tracks, scores.scores, probabilities)


def _most_fitting(music: Music, tags: Iterable[str]) -> Bools:
    """The fifth of the tracks that the tagger finds most fitting."""
    signed = [
        music.opinions[:, music.tags.index(tag.removeprefix("-"))] * (-1 if tag[0] == "-" else 1)
        for tag in tags
    ]
    opinion = np.mean(signed, axis=0)
    return np.asarray(opinion >= np.quantile(opinion, 1 - _AGREEING_SHARE))


def main() -> None:
    arguments = _arguments()
    encoder = models.load_bundle(arguments.model)
    sets = arguments.corpus / "eval"
    labelled = [sets / f"{name}.jsonl" for name in ("labelled_dev", "labelled_test", "e1")]
    music = read_music(
        labelled, sets / "renders_styles.jsonl", sets / "e2.jsonl",
        [sets / "e1.jsonl", sets / "real.jsonl"], arguments.labels, arguments.cache, encoder,
    )  # fmt: skip
    content = json.loads(STANDARD_FILE.read_text("utf-8"))
    labels = label_set_from_json({"groups": content["groups"]})
    evidence = gather(labels, music, encoder)
    verdicts = {name: judge(name, found) for name, found in evidence.items()}
    print(f"{encoder.name} ({encoder.model_id})\n")
    rows = [
        (name, verdict.threshold or "weak", f"{verdict.right} of {verdict.given}", verdict.note)
        for name, verdict in verdicts.items()
    ]
    print(table(["label", "threshold", "right of given", "measured"], rows))
    if arguments.write:
        text = vocabulary_text(content, marked(labels, verdicts))
        STANDARD_FILE.write_text(text, "utf-8")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.evaluation.standard")
    add = parser.add_argument
    add("--corpus", type=Path, default=Path("corpus"), help="folder that holds eval/")
    add("--labels", type=Path, required=True, help="another tagger's .npz of the recordings")
    add("--cache", type=Path, required=True, help="folder of clip vectors; filled where empty")
    add("--model", default=None, help="a bundle's name or folder")
    add("--write", action="store_true", help="write the marks into the vocabulary")
    return parser.parse_args()


if __name__ == "__main__":
    main()
