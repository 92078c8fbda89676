"""Judge a bundle on everything that the corpus folder holds: `muquery evaluate bundled`.

What is missing is named with the command that fetches it; the rest is measured all the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from models.interface import MusicTextEncoder
from models.training.evaluate import PROMPTS
from models.training.evaluation.confusion import ConfusionTable, measure_confusion
from models.training.evaluation.free_text import read_free_text, right_tracks
from models.training.evaluation.judging import TagTable, judge_tags
from models.training.evaluation.languages import judge_languages
from models.training.evaluation.neighbours import Neighbours, list_neighbours, read_queries
from models.training.evaluation.ranking import (
    QueryTable,
    judge_both_ways,
    judge_queries,
    table_of,
)
from models.training.evaluation.reliability import Reliability, measure_reliability
from models.training.evaluation.robustness import Robustness, measure_robustness
from models.training.evaluation.scorers import BundleScorer, Scorer, embed_tracks
from models.training.evaluation.sets import COLLECTION, EvaluationSets, read_sets
from models.training.evaluation.teacher_scores import missing_for_teacher, open_teacher
from models.training.manifest import ManifestEntry

LABELLED = (
    "e1",
    "labelled_dev",
    "labelled_test",
    "labelled_test_common",
    "labelled",
    "labelled_common",
)
FREE_TEXT, ALL_POOLS = "free text", "all pools"
RENDERS = ("renders_styles", "renders_font")
TEMPO_PROMPTS = (*PROMPTS, "{label} tempo")
MODE_PROMPTS = ("{label} key", "music in a {label} key")
ROBUSTNESS_CLIPS = 50
_LEAST_CLIP_S = 10.0


@dataclass(frozen=True)
class Speed:
    """Processor seconds of one thread, the median of several calls."""

    clip_s: float
    clip_cpu_ms: float
    text_cpu_ms: float

    @property
    def times_realtime(self) -> float:
        return 1000 * self.clip_s / self.clip_cpu_ms


@dataclass(frozen=True)
class BundleReport:
    """Everything measured of one bundle."""

    bundle: str
    model_id: str
    with_test: bool
    tags: tuple[TagTable, ...]
    queries: tuple[QueryTable, ...]
    languages: dict[str, dict[str, TagTable]]
    robustness: tuple[Robustness, ...]
    reliability: Reliability | None
    confusion: ConfusionTable | None
    neighbours: tuple[Neighbours, ...]
    speed: Speed
    trained_on: tuple[str, ...]
    missing: tuple[str, ...]


def evaluate_bundled(
    encoder: MusicTextEncoder,
    corpus: Path,
    demo: tuple[Path, Sequence[ManifestEntry]],
    *,
    with_test: bool,
    say: Callable[[str], None] = print,
) -> BundleReport:
    """Measure a loaded bundle on a corpus folder's sets and on the demo library in its folder."""
    found = read_sets(corpus, encoder.model_id, with_test)
    on_disk = [(found.folder, entries) for entries in found.sets.values()]
    tracks = embed_tracks(encoder, [*on_disk, demo], found.folder / "vectors", say)
    bundle = BundleScorer(encoder, tracks)
    missing = [*found.missing, *missing_for_teacher(corpus)]
    teacher: Scorer | None = None
    if not missing_for_teacher(corpus):
        judged = [e for name, e in found.sets.items() if name != "real"]
        teacher = open_teacher(corpus, [(found.folder, e) for e in judged], say)
    say("judging labels and queries")
    labelled = found.get("labelled") or found.get("labelled_dev")
    return BundleReport(
        bundle=encoder.name,
        model_id=encoder.model_id,
        with_test=with_test,
        tags=tuple(_tag_tables(bundle, teacher, found)),
        queries=tuple(_query_tables(bundle, teacher, found)),
        languages={
            name: judge_languages(name, bundle, teacher, found.get(name))
            for name in ("e1", "labelled")
            if found.get(name)
        },
        robustness=tuple(_robustness(encoder, found, labelled)),
        reliability=measure_reliability(bundle, labelled, ("genre", "instrument")),
        confusion=measure_confusion(bundle, labelled, "genre"),
        neighbours=tuple(_neighbours(bundle, found, demo[1])),
        speed=measure_speed(encoder),
        trained_on=found.trained_on,
        missing=tuple(missing),
    )


def measure_speed(encoder: MusicTextEncoder, calls: int = 9) -> Speed:
    """Time clips of noise and short texts by the processor's clock."""
    samples = round(encoder.clip_s * encoder.sample_rate_hz)
    clip = np.random.default_rng(0).normal(scale=0.1, size=(1, samples)).astype(np.float32)
    clips = _median_cpu_ms(lambda _: encoder.embed_clips(clip), calls)
    texts = _median_cpu_ms(lambda i: encoder.embed_text([f"a calm piano piece {i}"]), calls)
    return Speed(encoder.clip_s, clips, texts)


def _median_cpu_ms(call: Callable[[int], object], calls: int) -> float:
    taken = []
    for i in range(calls):
        started = time.process_time()
        call(i)
        taken.append(1000 * (time.process_time() - started))
    return float(np.median(taken))


def _tag_tables(bundle: Scorer, teacher: Scorer | None, found: EvaluationSets) -> list[TagTable]:
    tables: list[TagTable | None] = []
    for name in LABELLED:
        for kinds in (("genre",), ("instrument",), ("genre", "instrument")):
            if name != "e1" or kinds == ("genre",):
                tables.append(judge_tags(name, bundle, teacher, found.get(name), kinds))
    tables.append(judge_tags("e2", bundle, teacher, found.get("e2"), ("instrument",)))
    for name in RENDERS:
        entries = found.get(name)
        for kind in ("genre", "instrument", "drums"):
            tables.append(judge_tags(name, bundle, teacher, entries, (kind,)))
        tables.append(judge_tags(name, bundle, teacher, entries, ("tempo",), TEMPO_PROMPTS))
        tables.append(judge_tags(name, bundle, teacher, entries, ("mode",), MODE_PROMPTS))
    made = found.get("generated")
    for kind in ("mood", "sound"):
        tables.append(judge_tags("generated", bundle, teacher, made, (kind,)))
    tables.append(judge_tags("generated", bundle, teacher, made, ("tempo",), TEMPO_PROMPTS))
    tables.append(judge_tags("generated", bundle, teacher, made, ("mode",), MODE_PROMPTS))
    return [table for table in tables if table is not None]


def _query_tables(
    bundle: Scorer, teacher: Scorer | None, found: EvaluationSets
) -> list[QueryTable]:
    tables: list[QueryTable] = []
    for name in RENDERS:
        if entries := found.get(name):
            texts = [entry.captions[0].text for entry in entries]
            same = np.array([[one == other for other in texts] for one in texts])
            tables += judge_both_ways(name, bundle, teacher, texts, same, entries)
    if entries := found.get("e3"):
        words = [entry.tags["context"][0] for entry in entries]
        truth = np.array([[word in e.tags["context"] for e in entries] for word in words])
        texts = [f"music for a {word}" for word in words]
        tables.append(judge_queries("e3", "context→piece", bundle, teacher, texts, truth, entries))
    solo = [e for e in found.get("labelled_test") if e.id.startswith("gcompris-instrument")]
    if solo:
        names = [entry.tags["instrument"][0] for entry in solo]
        truth = np.eye(len(solo), dtype=bool)
        tables.append(judge_queries("solo", "instrument→clip", bundle, teacher, names, truth, solo))
    return [*tables, *_free_text_tables(bundle, teacher, found)]


def _free_text_tables(
    bundle: Scorer, teacher: Scorer | None, found: EvaluationSets
) -> list[QueryTable]:
    """Every pool on its own, and all sentences together.

    A bundle that was trained on some of the tracks is asked about the others only; the common pool
    is the same for every bundle.
    """
    parts = {
        pool: _free_text_table(pool, pool, bundle, teacher, found)
        for pool in sorted({sentence.pool for sentence in read_free_text()})
    }
    tables = [table for table in parts.values() if table is not None]
    if len(tables) == len(parts):
        lines = [line for table in tables for line in table.lines]
        tables.append(table_of(ALL_POOLS, FREE_TEXT, lines))
    common = _free_text_table("labelled", "labelled_common", bundle, teacher, found)
    return tables if common is None else [*tables, common]


def _free_text_table(
    pool: str, name: str, bundle: Scorer, teacher: Scorer | None, found: EvaluationSets
) -> QueryTable | None:
    """The sentences of a pool whose right tracks are all in the set `name`."""
    entries = found.get(name)
    there = {entry.id for entry in entries}
    asked = [s for s in read_free_text() if s.pool == pool and set(s.right) <= there]
    if not entries or not asked:
        return None
    truth = right_tracks(asked, entries)
    texts = [sentence.text for sentence in asked]
    return judge_queries(name, FREE_TEXT, bundle, teacher, texts, truth, entries)


def _robustness(
    encoder: MusicTextEncoder, found: EvaluationSets, entries: Sequence[ManifestEntry]
) -> list[Robustness]:
    long = [entry for entry in entries if entry.duration_s >= _LEAST_CLIP_S]
    if not long:
        return []
    places = np.unique(np.linspace(0, len(long) - 1, min(ROBUSTNESS_CLIPS, len(long))).round())
    chosen = [long[int(place)] for place in places]
    return measure_robustness(encoder, [(found.folder / entry.path, entry) for entry in chosen])


def _neighbours(
    bundle: BundleScorer, found: EvaluationSets, demo: Sequence[ManifestEntry]
) -> list[Neighbours]:
    queries = read_queries()
    collections = {"demo library": demo, COLLECTION: found.get("real")}
    return [
        neighbours
        for name, entries in collections.items()
        if entries
        for neighbours in list_neighbours(bundle, name, entries, queries)
    ]
