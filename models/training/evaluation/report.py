"""The report of a bundle's evaluation: JSON with everything, a page of tables, and figures."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from models.training.evaluation.bundled import ALL_POOLS, FREE_TEXT, BundleReport
from models.training.evaluation.compare import Comparison
from models.training.evaluation.figures import draw_figures
from models.training.evaluation.judging import TagTable
from models.training.evaluation.ranking import QueryTable

MEASURES = {
    "roc_auc": "ROC-AUC",
    "pr_auc": "PR-AUC",
    "r_precision": "R-precision",
    "recall_1": "R@1",
    "recall_5": "R@5",
    "recall_10": "R@10",
    "mrr": "MRR",
}
_HEAD = (
    "| set | of | measure | bundle | teacher search | bundle − teacher | chance |\n"
    "| --- | --- | --- | --- | --- | --- | --- |"
)


def write_report(report: BundleReport, folder: Path) -> Path:
    """Write report.json, report.md and PNGs into a folder; return the JSON's path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "report.json"
    content = json.dumps(asdict(report), indent=1, ensure_ascii=False, allow_nan=True)
    path.write_text(content + "\n", "utf-8")
    (folder / "report.md").write_text(page(report), "utf-8")
    draw_figures(report, folder)
    return path


def page(report: BundleReport) -> str:
    """Lay the report out as Markdown."""
    parts = [
        f"# {report.bundle} ({report.model_id})",
        "Values with 95 % bootstrap intervals over tracks (queries for R@k and MRR); differences "
        "are bootstrapped in pairs.",
        *_notes(report),
        "## Labels",
        _table(row for table in report.tags for row in _tag_rows(table)),
        "## Queries",
        _table(row for table in report.queries for row in _query_rows(table)),
        "## Languages, genre ROC-AUC by the bare word",
        _languages(report),
        "## Robustness, cosine to the unchanged clip",
        *_robustness(report),
        "## Calibration",
        _calibration(report),
        "## What is mistaken for what",
        *_confusion(report),
        "## Neighbours",
        *_neighbours(report),
        "## Speed, one thread",
        f"{report.speed.clip_cpu_ms:.1f} ms for {report.speed.clip_s:.0f} s of audio "
        f"({report.speed.times_realtime:.0f} x realtime, mel included), "
        f"{report.speed.text_cpu_ms:.2f} ms for a text.",
        "## By label",
        *(_labels(table) for table in report.tags),
        "## Free text, sentence by sentence",
        *(_lines(t) for t in report.queries if t.kind == FREE_TEXT and t.set != ALL_POOLS),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def measure_row(of: str, kind: str, name: str, found: Comparison) -> str:
    """One line of the big table."""
    cells = [of, kind, MEASURES.get(name, name), str(found.bundle)]
    cells.append(str(found.teacher) if found.teacher else "–")
    cells.append(str(found.difference) if found.difference else "–")
    cells.append(f"{found.bundle.chance:.3f}")
    return "| " + " | ".join(cells) + " |"


def _notes(report: BundleReport) -> Iterable[str]:
    if not report.with_test:
        yield "The labelled test part was not opened."
    if report.trained_on:
        yield (
            f"{len(report.trained_on)} labelled tracks were left out: this bundle was trained on "
            "them before they were held out."
        )
    if report.missing:
        yield "Not measured, for want of:\n\n" + "\n".join(f"- {line}" for line in report.missing)


def _table(rows: Iterable[str]) -> str:
    return "\n".join([_HEAD, *rows])


def _tag_rows(table: TagTable) -> Iterable[str]:
    of = f"{table.set}, {table.tracks} tracks"
    kind = f"{table.kind}, {len(table.labels)} labels"
    for name, found in table.measures.items():
        yield measure_row(of, kind, name, found)
    if table.roc_auc_by_group is not None:
        by_group = f"ROC-AUC, interval over {table.groups} artists or packages"
        yield measure_row(of, kind, by_group, table.roc_auc_by_group)


def _query_rows(table: QueryTable) -> Iterable[str]:
    answers = sorted({line.answers for line in table.lines})
    of = f"{table.set}, {len(table.lines)} of {'/'.join(map(str, answers))}"
    for name, found in table.measures.items():
        yield measure_row(of, table.kind, name, found)
    other = "–" if table.teacher_median_rank is None else f"{table.teacher_median_rank:g}"
    yield f"| {of} | {table.kind} | median rank | {table.median_rank:g} | {other} | – | – |"


def _languages(report: BundleReport) -> str:
    lines = ["| language | set | labels | bundle | teacher search |", "| --- " * 5 + "|"]
    for name, tables in report.languages.items():
        for language, table in tables.items():
            found = table.measures["roc_auc"]
            other = str(found.teacher) if found.teacher else "–"
            own = str(found.bundle)
            lines.append(f"| {language} | {name} | {len(table.labels)} | {own} | {other} |")
    return "\n".join(lines)


def _robustness(report: BundleReport) -> Iterable[str]:
    lines = ["| change | clips | mean | tenth percentile | lowest |", "| --- " * 5 + "|"]
    lines += [
        f"| {r.change} | {r.clips} | {r.cosine} | {r.tenth_percentile:.3f} | {r.lowest:.3f} |"
        for r in report.robustness
    ]
    yield "\n".join(lines)


def _calibration(report: BundleReport) -> str:
    found = report.reliability
    if found is None:
        return "The bundle is not calibrated, or nothing labelled is at hand."
    lines = [
        f"{found.pairs} pairs of label and track, {found.base_rate:.3f} of them true. Expected "
        f"error {found.expected_error:.3f}, Brier score {found.brier:.4f} "
        f"(always the base rate: {found.brier_of_base_rate:.4f}).",
        "",
        "| pairs | said | true |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {b.pairs} | {b.probability:.3f} | {b.share_true:.3f} |" for b in found.bins]
    return "\n".join(lines)


def _confusion(report: BundleReport) -> Iterable[str]:
    found = report.confusion
    if found is None:
        return
    yield f"The most relevant label is a documented one for {found.first_is_right:.2f} of tracks."
    lines = ["| documented | heard first | tracks | examples |", "| --- " * 4 + "|"]
    lines += [
        f"| {c.documented} | {c.heard} | {c.times} of {c.tracks} | {', '.join(c.examples)} |"
        for c in found.worst
    ]
    yield "\n".join(lines)


def _neighbours(report: BundleReport) -> Iterable[str]:
    lines = ["| collection | query | first three |", "| --- | --- | --- |"]
    lines += [f"| {n.collection} | {n.query} | {'; '.join(n.titles)} |" for n in report.neighbours]
    yield "\n".join(lines)


def _labels(table: TagTable) -> str:
    lines = [
        f"### {table.set}: {table.kind}",
        "",
        "| label | tracks | ROC-AUC | PR-AUC | teacher ROC-AUC | teacher PR-AUC | chance PR-AUC |",
        "| --- " * 7 + "|",
    ]
    for x in table.labels:
        others = [
            "–" if value is None else f"{value:.3f}"
            for value in (x.teacher_roc_auc, x.teacher_pr_auc)
        ]
        lines.append(
            f"| {x.label} | {x.tracks} | {x.roc_auc:.3f} | {x.pr_auc:.3f} | {others[0]} "
            f"| {others[1]} | {x.pr_auc_chance:.3f} |"
        )
    return "\n".join(lines)


def _lines(table: QueryTable) -> str:
    lines = [
        f"### {table.set}",
        "",
        "| sentence | right | rank | teacher's rank | came first | chance in top 5 |",
        "| --- " * 6 + "|",
    ]
    lines += [
        f"| {x.query} | {x.right} of {x.answers} | {x.rank} | {x.teacher_rank or '–'} | {x.first} "
        f"| {x.chance_recall[5]:.3f} |"
        for x in table.lines
    ]
    return "\n".join(lines)
