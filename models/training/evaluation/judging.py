"""Judge zero-shot labels: a bundle's scores, the teacher's, and their difference.

Legend: N tracks, C labels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from models.training.evaluate import PROMPTS, list_labels
from models.training.evaluation.compare import Comparison, Statistic, compare
from models.training.evaluation.scorers import Scorer
from models.training.evaluation.weighted import (
    Counts,
    Values,
    weighted_average_precision,
    weighted_r_precision,
    weighted_roc_auc,
)
from models.training.manifest import ManifestEntry
from models.training.metrics import Bools, Floats, average_precision, roc_auc

FEWEST_GROUPS = 8
Metric = Callable[[Floats, Bools, Counts], Values]


@dataclass(frozen=True)
class LabelLine:
    """One label: how many tracks carry it, and both systems' figures."""

    label: str
    tracks: int
    roc_auc: float
    pr_auc: float
    pr_auc_chance: float
    teacher_roc_auc: float | None
    teacher_pr_auc: float | None


@dataclass(frozen=True)
class TagTable:
    """Zero-shot labels of one kind on one set: macro measures by name, and a line per label.

    `roc_auc_by_group` has its interval over artists and packages instead of tracks: wider, and the
    honest one where few artists made most tracks; None with fewer than eight of them.
    """

    set: str
    kind: str
    tracks: int
    groups: int
    measures: dict[str, Comparison]
    roc_auc_by_group: Comparison | None
    labels: tuple[LabelLine, ...]


def judge_tags(
    name: str,
    bundle: Scorer,
    teacher: Scorer | None,
    entries: Sequence[ManifestEntry],
    kinds: Sequence[str],
    prompts: Sequence[str] = PROMPTS,
    words: Mapping[str, str] | None = None,
) -> TagTable | None:
    """Judge the labels of some kinds, each on the tracks that carry any of its kind.

    `words` replaces a label's wording (a translation); labels without one are left out. None with
    fewer than two labels.
    """
    judged = [entry for entry in entries if any(entry.tags.get(kind) for kind in kinds)]
    labels = [
        (kind, label)
        for kind in kinds
        for label in list_labels([e for e in judged if e.tags.get(kind)], kind)
        if words is None or label in words
    ]
    if len(labels) < 2:
        return None
    spoken = [label if words is None else words[label] for _, label in labels]
    queries = [[prompt.format(label=text) for prompt in prompts] for text in spoken]
    truth = np.array([[label in e.tags.get(kind, ()) for kind, label in labels] for e in judged])
    # What a track does not say anything about, it cannot be wrong about.
    known = np.array([[bool(e.tags.get(kind)) for kind, _ in labels] for e in judged])
    own = bundle.score(queries, judged).T
    other = None if teacher is None else teacher.score(queries, judged).T
    systems = [scores for scores in (own, other) if scores is not None]
    groups = [entry.group for entry in judged]
    return TagTable(
        set=name,
        kind="+".join(kinds),
        tracks=len(judged),
        groups=len(set(groups)),
        measures=_tag_measures(systems, truth, known),
        roc_auc_by_group=(
            compare([_macro(weighted_roc_auc, s, truth, known) for s in systems], groups, 0.5)
            if len(set(groups)) >= FEWEST_GROUPS
            else None
        ),
        labels=tuple(
            _label_line(label, truth[:, i], known[:, i], [scores[:, i] for scores in systems])
            for i, (_, label) in enumerate(labels)
        ),
    )


def _tag_measures(systems: Sequence[Floats], truth: Bools, known: Bools) -> dict[str, Comparison]:
    tracks = [str(i) for i in range(len(truth))]
    prevalence = float(np.mean([truth[k, c].mean() for c, k in enumerate(known.T)]))
    wanted = {
        "roc_auc": (weighted_roc_auc, 0.5),
        "pr_auc": (weighted_average_precision, prevalence),
        "r_precision": (weighted_r_precision, prevalence),
    }
    return {
        name: compare([_macro(metric, s, truth, known) for s in systems], tracks, chance)
        for name, (metric, chance) in wanted.items()
    }


def _macro(metric: Metric, scores: Floats, truth: Bools, known: Bools) -> Statistic:
    def statistic(counts: Counts) -> Values:
        columns = [metric(scores[k, c], truth[k, c], counts[:, k]) for c, k in enumerate(known.T)]
        values = np.stack(columns)
        defined = ~np.isnan(values)
        total = np.where(defined, values, 0.0).sum(axis=0)
        mean: Values = np.where(
            defined.any(axis=0), total / np.maximum(defined.sum(axis=0), 1), np.nan
        )
        return mean

    return statistic


def _label_line(label: str, truth: Bools, known: Bools, systems: Sequence[Floats]) -> LabelLine:
    column = truth[known]
    auc = [roc_auc(scores[known], column) for scores in systems]
    precision = [average_precision(scores[known], column) for scores in systems]
    return LabelLine(
        label=label,
        tracks=int(column.sum()),
        roc_auc=auc[0],
        pr_auc=precision[0],
        pr_auc_chance=float(column.mean()),
        teacher_roc_auc=auc[1] if len(auc) > 1 else None,
        teacher_pr_auc=precision[1] if len(precision) > 1 else None,
    )
