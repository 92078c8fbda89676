"""One fine-tuning run: library, cache, training, judgement, bundle."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from models.bundle.card import CardFacts, render_card
from models.bundle.fitting import LabelledTrack, calibrate, reference_vectors
from models.bundle.loading import load_bundle
from models.bundle.making import BundleFacts, BundleStorage, Extras, amend_bundle, make_bundle
from models.bundle.manifest import Manifest
from models.bundle.onnx_towers import OnnxTowers
from models.interface import TrackEmbedding
from models.networks.muq_mulan import AudioTower
from models.training.checkpoint import load_module
from models.training.data import CropPhase, DataConfig, TrainingData, open_training_data
from models.training.evaluate import Vectors, embed_labels, embed_tracks, list_labels, relevance
from models.training.finetuning.judging import Comparison, compare, general_ability
from models.training.finetuning.library import LibraryError, labels_of, read_library
from models.training.finetuning.parent import Parent, open_parent
from models.training.finetuning.report import FinetuneReport, report_text, write_finetune_report
from models.training.finetuning.task import (
    STAGE,
    FinetuneRecipe,
    FinetuneTask,
    ParentTexts,
    TunedTower,
)
from models.training.loop import LoopConfig, fit
from models.training.manifest import ManifestEntry, read_manifest, write_manifest
from models.training.mel_cache import MelCache, build_mel_cache
from models.training.queries import vocabulary
from models.training.run import Run, RunError, read_json
from models.training.schedule import OptimiserConfig
from models.training.settings import from_json, override

LIBRARY_FILE, MELS_FOLDER = "library.jsonl", "mels"
_CALIBRATION_KINDS = 2
_REFERENCE_CLIPS = 3000


@dataclass(frozen=True)
class FinetuneOrder:
    """What a person asks for; `check` is a labelled manifest and the cache of its tracks."""

    library: Path
    bundle: str
    run: Path
    table: Path | None = None
    settings: tuple[str, ...] = ()
    processes: int = 2
    resume: bool = False
    check: tuple[Path, Path] | None = None


def default_recipe(order: FinetuneOrder) -> FinetuneRecipe:
    """Ten-second crops by sixteens at a low rate, stopped when held-out tracks gain no more.

    Nothing published says how a library is best learned; what was tried stands in the log of
    experiments.
    """
    return FinetuneRecipe(
        bundle=order.bundle,
        library=str(order.library),
        table=str(order.table or ""),
        data=DataConfig(
            phases=(CropPhase(2000, 10.0, 16),),
            manifest=str(order.run / LIBRARY_FILE),
            cache=str(order.run / MELS_FOLDER),
            duration_power=0.0,
        ),
        optimiser=OptimiserConfig(
            peak_lr=1e-4, updates=2000, warmup_updates=20, decay="linear", weight_decay=0.01,
            clip_norm=1.0,
        ),
        loop=LoopConfig(log_every=10, validate_every=25, save_every=25, patience=8, device="auto"),
    )  # fmt: skip


def finetune(order: FinetuneOrder) -> FinetuneReport:
    """Train, judge, and write the report into the run's folder.

    Raises LibraryError, ParentError, RunError, SettingError; what was cached and trained stays.
    """
    recipe = _recipe(order)
    parent = open_parent(recipe.bundle)
    if not order.resume:
        _prepare(order)
    data = open_training_data(recipe.data)
    _judged_labels(data.entries)
    run = Run.open(order.run, STAGE, "library", recipe, data.identity, order.resume)
    task = FinetuneTask(recipe, data, parent)
    start = task.held_out_numbers(task.original.eval())["label_loss"]
    result = fit(task, run, recipe.optimiser, recipe.loop, order.resume)
    report = judge(order, parent, data)
    report = dataclasses.replace(
        report,
        updates=result.state.update,
        best_update_loss=result.state.best_metric,
        start_loss=start,
    )
    write_finetune_report(report, order.run)
    print(report_text(report), file=sys.stderr)
    return report


def judge(order: FinetuneOrder, parent: Parent, data: TrainingData) -> FinetuneReport:
    """Compare the best checkpoint with the parent on the test split, and on the check set."""
    tuned = load_tuned(order.run, parent)
    texts = ParentTexts(parent)
    test = [entry for entry in data.entries if entry.split == "test"]
    cache = MelCache(order.run / MELS_FOLDER)
    before = embed_tracks(_Tower(parent.network().audio), cache, test)
    after = embed_tracks(_Tower(tuned), cache, test)
    judged = _judged_labels(data.entries)
    learned = {value for e in data.entries for values in e.tags.values() for value in values}
    general = [word for word in vocabulary() if word not in learned]
    queries = texts.embed_text(general)
    counts = Counter(entry.split for entry in data.entries)
    groups = {split: len({e.group for e in data.entries if e.split == split}) for split in counts}
    return FinetuneReport(
        parent=f"{parent.manifest.name} ({parent.manifest.model_id})",
        tracks={str(split): count for split, count in counts.items()},
        groups={str(split): count for split, count in groups.items()},
        updates=0,
        best_update_loss=None,
        start_loss=float("nan"),
        comparisons=tuple(_compare_on(before, after, test, judged, texts)),
        ability=general_ability(before, after, queries, text_difference=0.0),
        check=tuple(_check(order.check, parent, tuned, texts)) if order.check else (),
    )


def export_finetuned(run: Path, out: Path, name: str, licence: str = "") -> Manifest:
    """Write a finished run as a bundle with its lineage, a reference and, if it can, calibration.

    The reference is of the library's own tracks: relevance is then a rank among them. Raises
    RunError for a run without a report, and as `make_bundle` does.
    """
    opened = Run.open_existing(run, STAGE)
    recipe = from_json(FinetuneRecipe, opened.config["config"])
    report = read_json(run / "finetuning.json")
    parent = open_parent(recipe.bundle)
    network = parent.network()
    network.audio.load_state_dict(load_tuned(run, parent).state_dict())
    source = parent.manifest
    if f"({source.model_id})" not in str(report["parent"]):
        raise RunError(f"{recipe.bundle} is no longer the model that this run started from")
    facts = BundleFacts(
        name=name,
        languages=source.languages,
        licence=licence or source.licence,
        lineage=_lineage(parent, recipe, report, read_json(run / "environment.json")),
        tag_templates=source.tag_templates,
        max_text_tokens=source.text.max_tokens,
        pad_token_id=source.text.pad_token_id,
    )
    storage = BundleStorage("fp16", "fp16", "shared")
    draft = Extras(card="being made")
    manifest = make_bundle(network, parent.tokenizer(), out, facts, draft, storage)
    data = open_training_data(recipe.data)
    cache = MelCache(run / MELS_FOLDER)
    heard = [entry for entry in data.entries if entry.split != "test"]
    reference = reference_vectors(
        OnnxTowers(manifest, out, device="cpu", threads=0), heard, cache,
        clip_s=manifest.clip_seconds, limit=_REFERENCE_CLIPS,
    )  # fmt: skip
    amend_bundle(out, Extras(reference=reference))
    held = [entry for entry in data.entries if entry.split == "valid"]
    calibration = _calibration(out, held, embed_tracks(_Tower(network.audio), cache, held))
    card = render_card(
        CardFacts(
            manifest=manifest, reference_clips=len(reference),
            calibration=None if calibration is None else calibration.facts,
            results="```\n" + (run / "finetuning.txt").read_text("utf-8") + "```",
        )
    )  # fmt: skip
    return amend_bundle(out, Extras(card=card, calibration=calibration))


def load_tuned(run: Path, parent: Parent) -> AudioTower:
    """Return the audio tower of a run's best checkpoint (the last one, where none was best)."""
    opened = Run.open_existing(run, STAGE)
    path = opened.best_checkpoint if opened.best_checkpoint.exists() else opened.last_checkpoint
    tuned = TunedTower(parent.network().audio, layers=-1)
    load_module(path, tuned)
    return tuned.tower.eval()


class _Tower:
    """An audio tower as evaluation wants it."""

    def __init__(self, tower: AudioTower) -> None:
        self._tower = tower.eval()

    def embed_text(self, texts: Sequence[str]) -> Vectors:
        raise TypeError("audio only")

    @torch.no_grad()
    def embed_mels(self, mels: NDArray[np.float32]) -> Vectors:
        vectors: Vectors = self._tower(torch.from_numpy(mels)).numpy()
        return vectors


def _recipe(order: FinetuneOrder) -> FinetuneRecipe:
    if order.resume:
        stored = read_json(order.run / "config.json")["config"]
        return override(from_json(FinetuneRecipe, stored), order.settings)
    return override(default_recipe(order), order.settings)


def _prepare(order: FinetuneOrder) -> None:
    """Describe and decode the library; a folder that holds a run already is refused before."""
    if (order.run / "config.json").exists():
        raise RunError(f"{order.run} already holds a run; resume it or choose another folder")
    library = read_library(order.library, order.table)
    for skipped in library.skipped:
        print(f"left out {skipped.path}: {skipped.reason}", file=sys.stderr)
    write_manifest(order.run / LIBRARY_FILE, library.entries)
    build_mel_cache(
        library.entries, order.library, order.run / MELS_FOLDER, processes=order.processes
    )


def _judged_labels(entries: Sequence[ManifestEntry]) -> dict[str, list[str]]:
    """Labels that are learned and that some, not all, of the test tracks carry, by kind."""
    test = [entry for entry in entries if entry.split == "test"]
    judged = {}
    for kind, words in labels_of([e for e in entries if e.split == "train"]).items():
        told = [set(entry.tags[kind]) for entry in test if entry.tags.get(kind)]
        counts = {word: sum(word in labels for labels in told) for word in words}
        judged[kind] = [word for word in words if 0 < counts[word] < len(told)]
    judged = {kind: words for kind, words in judged.items() if words}
    if not judged:
        raise LibraryError("no label that can be learned tells the held-out tracks apart")
    return judged


def _compare_on(
    before: Vectors,
    after: Vectors,
    entries: Sequence[ManifestEntry],
    labels: dict[str, list[str]],
    texts: ParentTexts,
) -> list[Comparison]:
    prompts = {kind: embed_labels(texts, words) for kind, words in labels.items()}
    scores = [{kind: v @ prompts[kind].T for kind in labels} for v in (before, after)]
    truths = {kind: relevance(entries, kind, words) for kind, words in labels.items()}
    known = {kind: np.array([bool(e.tags.get(kind)) for e in entries]) for kind in labels}
    return compare(scores[0], scores[1], truths, known, [entry.group for entry in entries])


def _check(
    check: tuple[Path, Path], parent: Parent, tuned: AudioTower, texts: ParentTexts
) -> list[Comparison]:
    manifest, folder = check
    entries, cache = read_manifest(manifest), MelCache(folder)
    kinds = sorted({kind for entry in entries for kind in entry.tags})
    labels = {kind: words for kind in kinds if len(words := list_labels(entries, kind)) > 1}
    before = embed_tracks(_Tower(parent.network().audio), cache, entries)
    return _compare_on(before, embed_tracks(_Tower(tuned), cache, entries), entries, labels, texts)


def _calibration(out: Path, entries: Sequence[ManifestEntry], vectors: Vectors) -> Any:
    """Probabilities fitted on the tracks to stop by; None where no label is there often enough."""
    labelled = [
        LabelledTrack(
            TrackEmbedding(v[None], v, np.zeros(1), np.full(1, entry.duration_s)), dict(entry.tags)
        )
        for entry, v in zip(entries, vectors, strict=True)
        if entry.tags
    ]
    encoder = load_bundle(out, device="cpu", runtime="onnx")
    counts = Counter(
        (kind, value) for t in labelled for kind, values in t.labels.items() for value in values
    )
    if sum(count >= 3 for count in counts.values()) < _CALIBRATION_KINDS:
        return None
    return calibrate(encoder, labelled, facts={"fitted_on": "the library's tracks to stop by"})


def _lineage(
    parent: Parent, recipe: FinetuneRecipe, report: dict[str, Any], environment: dict[str, Any]
) -> dict[str, Any]:
    kept = ("git_commit", "data_identity", "packages")
    return {
        "finetuned_from": {"model_id": parent.manifest.model_id, "name": parent.manifest.name},
        "tracks": report["tracks"],
        "updates": report["updates"],
        "layers": recipe.layers,
        "verdict": report["summary"],
        "environment": {name: environment[name] for name in kept},
        "parent": dict(parent.manifest.lineage),
    }
