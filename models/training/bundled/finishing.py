"""The last steps: a bundle of the run, its evaluation, and its card and record from that."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from models.checksum import file_sha256
from models.training.bundled.recipe import BundledRecipe, Folders, StageRun
from models.training.bundled.record import (
    RECORD_FILE,
    describe_data,
    make_record,
    read_record,
    record_to_bytes,
)
from models.training.bundled.stage_runs import identity_of
from models.training.countdown import Say
from models.training.manifest import read_manifest, write_manifest
from models.training.run import Run, RunError, read_json

REPORT = "report.json"


def bundle_is_made(recipe: BundledRecipe, run: StageRun, folders: Folders) -> bool:
    """Whether OUT holds the bundle of this run's checkpoint; RunError for another bundle."""
    from models.bundle.disk import read_manifest as read_bundle

    if not folders.out.exists():
        return False
    checkpoint = Run(run.folder).checkpoint(recipe.bundled_checkpoint)
    lineage = read_bundle(folders.out).lineage
    made_of = lineage.get("checkpoint_sha256")
    if not checkpoint.exists() or made_of != file_sha256(checkpoint):
        raise RunError(f"{folders.out} holds a bundle of another run; choose another folder")
    return True


def make_the_bundle(
    recipe: BundledRecipe, run: StageRun, folders: Folders, with_test: bool
) -> None:
    """Export the run with reference and calibration; OUT appears when all of it is there."""
    from models.bundle.from_run import RunToBundle, bundle_from_run

    making = folders.out.with_name(f".{folders.out.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    labels = _calibration_manifests(folders, with_test) if recipe.calibrate else ()
    bundle_from_run(
        RunToBundle(
            run=run.folder,
            out=making,
            name=folders.out.name,
            licence=recipe.licence,
            checkpoint=recipe.bundled_checkpoint,
            labels=labels,
            reference_clips=recipe.reference_clips,
        )
    )
    making.rename(folders.out)


def _calibration_manifests(folders: Folders, with_test: bool) -> tuple[Path, ...]:
    """The labelled recordings; where there are none, what was held out to validate.

    Relevance is measured against recordings, so renders, which most held-out tracks are, would
    have probabilities that no recording has. The test part may give these two numbers, once it is
    opened: they change no ranking, and the card says so.
    """
    names = ("labelled_dev", "labelled_test") if with_test else ("labelled_dev",)
    labelled = [folders.corpus / "eval" / f"{name}.jsonl" for name in names]
    if all(path.exists() for path in labelled):
        return tuple(labelled)
    valid = [entry for entry in read_manifest(folders.manifest) if entry.split == "valid"]
    write_manifest(folders.corpus / "valid.jsonl", valid)
    return (folders.corpus / "valid.jsonl",)


def is_evaluated(folders: Folders, with_test: bool) -> bool:
    """Whether the report is about this very bundle, with the test part where it is wanted."""
    from models.bundle.disk import read_manifest as read_bundle

    path = folders.evaluation / REPORT
    if not path.exists() or not folders.out.exists():
        return False
    report = read_json(path)
    opened = report["with_test"] or not with_test
    return bool(report["model_id"] == read_bundle(folders.out).model_id and opened)


def evaluate_the_bundle(folders: Folders, with_test: bool, say: Say) -> None:
    """Judge the bundle by everything that the corpus folder holds; report.json appears last."""
    import models
    from models.training.evaluation.bundled import evaluate_bundled
    from models.training.evaluation.cli import DEMO_LIBRARY
    from models.training.evaluation.demo import read_demo_library
    from models.training.evaluation.report import write_report

    encoder = models.load_bundle(folders.out, threads=1)
    demo = (DEMO_LIBRARY, read_demo_library(DEMO_LIBRARY))
    found = evaluate_bundled(encoder, folders.corpus, demo, with_test=with_test, say=say)
    making = folders.evaluation / ".making"
    write_report(found, making)
    # What says that it is done comes last.
    written = sorted(making.iterdir(), key=lambda path: path.name == REPORT)
    for path in written:
        path.replace(folders.evaluation / path.name)
    making.rmdir()


def is_described(folders: Folders) -> bool:
    """Whether the bundle carries the record of the report that lies beside it."""
    record = read_record(folders.out)
    path = folders.evaluation / REPORT
    if record is None or not path.exists():
        return False
    report = read_json(path)
    return all(record[key] == report[key] for key in ("model_id", "with_test"))


def describe_the_bundle(recipe: BundledRecipe, runs: list[StageRun], folders: Folders) -> None:
    """Write card, languages and record as the evaluation found them; the model_id stays."""
    from models.bundle.card import CardFacts, render_card
    from models.bundle.disk import read_manifest as read_bundle
    from models.bundle.from_run import last_validation
    from models.bundle.loading import read_calibration, read_reference
    from models.bundle.making import Extras, amend_bundle
    from models.training.bundled.card import Material, languages_measured, results_markdown
    from models.training.teacher.label_store import read_labels, seconds_by_track

    report = read_json(folders.evaluation / REPORT)
    entries = read_manifest(folders.manifest)
    manifest = read_bundle(folders.out)
    # Where no language was measured above chance, what the encoder says of itself has to do.
    languages = languages_measured(report) or manifest.languages
    manifest = manifest.model_copy(update={"languages": languages})
    reference = read_reference(folders.out, manifest)
    calibration = read_calibration(folders.out, manifest)
    taught_s = seconds_by_track(read_labels(folders.teacher)) if recipe.teacher_windows else None
    material = Material(runs, entries, recipe.licence, taught_s, manifest.lineage)
    card = render_card(
        CardFacts(
            manifest=manifest,
            reference_clips=len(reference),
            calibration=None if calibration is None else calibration.facts,
            validation=last_validation(runs[-1].folder),
            results=results_markdown(report, material),
        )
    )
    record = record_to_bytes(record_of(report, runs[-1], folders))
    extras = Extras(card=card, others={RECORD_FILE: record})
    amend_bundle(folders.out, extras, languages=languages)


def record_of(report: dict[str, Any], run: StageRun, folders: Folders) -> dict[str, Any]:
    """The record of a report on the bundle of a run."""
    from models.training.evaluation.sets import read_sets

    sets = read_sets(folders.corpus, report["model_id"], report["with_test"])
    data = run.recipe.data
    entries = read_manifest(Path(data.manifest))
    return make_record(report, sets, describe_data(entries, identity_of(data.manifest, data.cache)))


def shipped_record() -> dict[str, Any] | None:
    """The record of the bundle that is shipped."""
    from models.bundle.loading import BUNDLES_FOLDER, DEFAULT_BUNDLE

    # Not by its name alone: what was just made may lie in a folder that is called the same.
    return read_record(BUNDLES_FOLDER / DEFAULT_BUNDLE)


def made_record(folders: Folders) -> dict[str, Any]:
    """The record of the bundle that was made; RunError before it is described."""
    record = read_record(folders.out)
    if record is None:
        raise RunError(f"{folders.out / RECORD_FILE} does not exist")
    return record
