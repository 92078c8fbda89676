"""The measured part of a bundle's card, laid out from its evaluation's report (as JSON)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.training.bundled.disclosures import LICENCE_REASONS, SOURCES, TEACHER, TEXT_ENCODER
from models.training.bundled.recipe import StageRun
from models.training.bundled.stage_runs import read_counters
from models.training.countdown import clock
from models.training.evaluation.bundled import ALL_POOLS, FREE_TEXT
from models.training.evaluation.report import MEASURES
from models.training.manifest import ManifestEntry

Json = Mapping[str, Any]

_SETS = {
    "e1": "E1, real recordings",
    "e2": "E2, songs and their isolated guitars",
    "e3": "E3, pieces with a word of context",
    "labelled": "labelled real tracks",
    "labelled_dev": "their development part",
    "labelled_test": "their test part",
    "renders_styles": "renders of unseen styles",
    "renders_font": "the same pieces in an unseen soundfont",
    "generated": "generated pieces (AI-made, not recordings)",
    "solo": "single instruments",
    ALL_POOLS: "sentences that no tag covers",
}
# What each kind of table is read by; of E1, which was aimed at, all three.
_SHOWN = {"e1": ("roc_auc", "pr_auc", "r_precision"), "e3": ("recall_1",), "solo": ("recall_5",),
          ALL_POOLS: ("recall_5",)}  # fmt: skip
_WORST = 5
_WEAK_LABEL = 0.6
_RENDERED = "render:"


@dataclass(frozen=True)
class Material:
    """What a card is written from, beside the report: the runs, the manifest, the licence.

    `taught_s` are the seconds of each track, by its id, that a teacher has heard; none had a
    teacher where it is None. `lineage` is the bundle's.
    """

    runs: Sequence[StageRun]
    entries: Sequence[ManifestEntry]
    licence: str
    taught_s: Mapping[str, float] | None
    lineage: Json = field(default_factory=dict)


def languages_measured(report: Json) -> tuple[str, ...]:
    """List the languages whose genre words were told apart on every set that asked for them.

    A language counts where the whole interval of its ROC-AUC lies above chance.
    """
    good: dict[str, bool] = {}
    for tables in report["languages"].values():
        for language, table in tables.items():
            found = table["measures"]["roc_auc"]["bundle"]
            good[language] = good.get(language, True) and found["low"] > found["chance"]
    return tuple(language for language, passed in good.items() if passed)


def results_markdown(report: Json, material: Material) -> str:
    """Everything between "Held-out results" and the card's next section."""
    parts = [
        "Values with 95 % bootstrap intervals over tracks (over queries for R@k), chance beside "
        'each; nothing in these sets was trained on. "Teacher" is the tagger that it learned '
        "from, used as a text search engine; a difference is bootstrapped in pairs. "
        + _how(report),
        "\n".join(_figure_rows(report)) or "No set was at hand: nothing was measured.",
        *_languages(report),
        *_robustness(report),
        _speed(report["speed"]),
        "## Where it fails",
        "\n".join(f"- {line}" for line in weaknesses(report)) or "Nothing was measured.",
        "## Training",
        "\n".join(_run_rows(material.runs)),
        *_made_of(material.lineage),
        *_taught(material),
        "## Data",
        *_data(material.entries),
        *([] if material.taught_s is None else [SOURCES, TEACHER, TEXT_ENCODER]),
        *_licence(material.licence),
    ]
    return "\n\n".join(parts)


def weaknesses(report: Json) -> Iterator[str]:
    """What the figures themselves say against the bundle, worst first within each kind."""
    for of, kind, found in _label_tables(report):
        if found["bundle"]["low"] <= found["bundle"]["chance"]:
            yield f"Not shown to beat chance: {of}, {kind}, ROC-AUC {_interval(found['bundle'])}."
        elif found["difference"] and found["difference"]["high"] < 0:
            yield f"Behind the teacher: {of}, {kind}, by {_interval(found['difference'])}."
    for table in report["tags"]:
        weak = sorted((x for x in table["labels"] if x["roc_auc"] < _WEAK_LABEL),
                      key=lambda x: float(x["roc_auc"]))  # fmt: skip
        if weak and table["set"] in _SETS and "+" not in table["kind"]:
            named = ", ".join(f"{x['label']} {x['roc_auc']:.2f}" for x in weak[:_WORST])
            yield f"Hardly heard, {_SETS[table['set']]}, {table['kind']} (ROC-AUC): {named}."
    if confusion := report["confusion"]:
        for worst in confusion["worst"][:_WORST]:
            yield (
                f"{worst['documented'].capitalize()} is heard as {worst['heard']}: "
                f"{worst['times']} of {worst['tracks']} tracks."
            )
        yield (
            f"The most relevant of {len(confusion['labels'])} labels is a documented one for "
            f"{confusion['first_is_right']:.0%} of the tracks."
        )
    for table in report["queries"]:
        if (table["set"], table["kind"]) == (ALL_POOLS, FREE_TEXT):
            found = table["measures"]["recall_5"]["bundle"]
            yield (
                f"Sentences that no tag covers reach {found['value'] / found['chance']:.1f} times "
                "chance (R@5)."
            )
    for table in report["tags"]:
        by_group = table["roc_auc_by_group"]
        if table["set"] == "e1" and by_group:
            wide = f"[{by_group['bundle']['low']:.3f}, {by_group['bundle']['high']:.3f}]"
            yield f"Few artists made most of E1: over artists its interval is {wide}."


def _how(report: Json) -> str:
    opened = "the labelled test part was opened for this bundle" if report["with_test"] else (
        "the labelled test part was not opened"
    )  # fmt: skip
    return f"All of it by `muquery evaluate bundled`; {opened}."


def _figure_rows(report: Json) -> Iterator[str]:
    rows: list[str] = []
    for table in report["tags"]:
        if table["set"] in _SETS and "+" not in table["kind"]:
            of = f"{_SETS[table['set']]}: {table['tracks']}"
            kind = f"{table['kind']} ({len(table['labels'])})"
            rows += _rows(of, kind, table, _SHOWN.get(table["set"], ("roc_auc",)))
    for table in report["queries"]:
        if table["set"] in _SETS and (table["kind"] != FREE_TEXT or table["set"] == ALL_POOLS):
            of = f"{_SETS[table['set']]}: {len(table['lines'])}"
            rows += _rows(of, table["kind"], table, _SHOWN.get(table["set"], ("recall_10",)))
    if rows:
        yield "| set and its size | of | measure | value | teacher | difference | chance |"
        yield "|---|---|---|---|---|---|---|"
        yield from rows


def _rows(of: str, kind: str, table: Json, measures: Sequence[str]) -> Iterator[str]:
    for measure in measures:
        found = table["measures"][measure]
        cells = [of, kind, MEASURES[measure], _interval(found["bundle"])]
        cells += [_interval(found[other]) if found[other] else "–" for other in
                  ("teacher", "difference")]  # fmt: skip
        yield "| " + " | ".join([*cells, f"{found['bundle']['chance']:.3f}"]) + " |"


def _label_tables(report: Json) -> Iterator[tuple[str, str, Json]]:
    for table in report["tags"]:
        if table["set"] in _SETS and "+" not in table["kind"]:
            yield _SETS[table["set"]], table["kind"], table["measures"]["roc_auc"]


def _languages(report: Json) -> Iterator[str]:
    asked = list(dict.fromkeys(name for of in report["languages"].values() for name in of))
    if not asked:
        yield "No genre words of other languages were asked: nothing at hand carries them."
        return
    declared = ", ".join(languages_measured(report)) or "none"
    yield (
        "Genre words by language, ROC-AUC by the bare word. Declared are those above chance in "
        f"all sets: {declared}."
    )
    lines = ["| set | " + " | ".join(asked) + " |", "|---" * (len(asked) + 1) + "|"]
    for name, tables in report["languages"].items():
        values = [
            f"{tables[x]['measures']['roc_auc']['bundle']['value']:.3f}" if x in tables else "–"
            for x in asked
        ]
        lines.append("| " + " | ".join([_SETS.get(name, name), *values]) + " |")
    yield "\n".join(lines)


def _robustness(report: Json) -> Iterator[str]:
    if report["robustness"]:
        clips = report["robustness"][0]["clips"]
        listed = ", ".join(f"{r['change']} {_interval(r['cosine'])}" for r in report["robustness"])
        yield (
            f"Cosine of {clips} clips to themselves, changed, written to a file and decoded "
            f"again: {listed}."
        )


def _speed(speed: Json) -> str:
    realtime = 1000 * speed["clip_s"] / speed["clip_cpu_ms"]
    return (
        f"CPU, one thread, processor time, mel included: {speed['clip_cpu_ms']:.0f} ms for a clip "
        f"of {speed['clip_s']:g} s ({realtime:.0f} times realtime), {speed['text_cpu_ms']:.1f} ms "
        "for a text."
    )


def _run_rows(runs: Sequence[StageRun]) -> Iterator[str]:
    yield "| stage | recipe | updates | hours of audio, with repetition | wall time |"
    yield "|---|---|---|---|---|"
    for run in runs:
        counters = read_counters(run.folder)
        assert counters is not None, "a finished run has a checkpoint"
        hours, wall = counters["audio_s"] / 3600, clock(counters["wall_s"])
        yield f"| {run.stage} | {run.recipe_name} | {counters['update']} | {hours:.1f} | {wall} |"


def _made_of(lineage: Json) -> Iterator[str]:
    if facts := lineage.get("averaged"):
        yield (
            f"The weights are the mean of the last ones and, with a share of "
            f"{facts['share_of_earlier']:g}, those of the contrastive stage after "
            f"{facts['earlier_updates']} updates (weight averaging, arXiv 2109.01903)."
        )
    if facts := lineage.get("translations"):
        yield (
            "The last map of the text side was then moved, by ridge regression, so that "
            f"{facts['pairs']} translations of common tags (six languages, four templates) lie "
            "where the English texts do."
        )
    if facts := lineage.get("sayings"):
        yield (
            f"Beside the map, the text side reads by pieces of words: {facts['texts']} texts that "
            f"a listener could type for {facts['terms']} plain terms taught it which one a text "
            "means, or none, which leaves the text where it was. The texts were written for this, "
            "in English, by authors who saw none of the sentences that models are judged by."
        )


def _taught(material: Material) -> Iterator[str]:
    if material.taught_s is None:
        return
    recordings = _recordings(material.entries)
    taught_h = sum(material.taught_s.get(entry.id, 0.0) for entry in recordings) / 3600
    yield (
        "Mel-RVQ and MuQ hear everything, MuQ-MuLan what its teacher has heard: "
        f"{taught_h:.1f} of {_hours(recordings):.1f} hours of recordings, and a window of ten "
        "seconds of each render."
    )


def _recordings(entries: Sequence[ManifestEntry]) -> list[ManifestEntry]:
    return [entry for entry in entries if not entry.source.startswith(_RENDERED)]


def _data(entries: Sequence[ManifestEntry]) -> Iterator[str]:
    recordings = _recordings(entries)
    renders = [entry for entry in entries if entry.source.startswith(_RENDERED)]
    yield (
        f"{_hours(entries):.1f} hours: {_hours(recordings):.1f} of recordings ({len(recordings)} "
        f"tracks) and {_hours(renders):.1f} of renders ({len(renders)} pieces with exact "
        "captions)."
    )
    for name, part in (("recordings", recordings), ("renders", renders)):
        hours: Counter[str] = Counter()
        for entry in part:
            hours[entry.licence] += entry.duration_s / 3600  # type: ignore[assignment]
        if hours:
            listed = ", ".join(f"{licence} {value:.2f}" for licence, value in hours.most_common())
            yield f"By licence, in hours, {name}: {listed}."


def _hours(entries: Sequence[ManifestEntry]) -> float:
    return sum(entry.duration_s for entry in entries) / 3600


def _licence(licence: str) -> Iterator[str]:
    if licence in LICENCE_REASONS:
        yield "## Licence of the weights, and why"
        yield LICENCE_REASONS[licence]


def _interval(found: Json) -> str:
    return f"{found['value']:.3f} [{found['low']:.3f}, {found['high']:.3f}]"
