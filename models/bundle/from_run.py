"""Turn a finished mulan run into a bundle with reference, calibration and model card.

    python -m models.bundle.from_run RUN OUT --name NAME --licence LICENCE
        [--labels MANIFEST]... [--results RESULTS.md] [--checkpoint best]

Give --labels manifests of tracks whose tags are known and that were not trained on; without any
the bundle is not calibrated. RESULTS.md (held-out numbers) becomes a part of the model card.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.bundle.calibration import Calibration
from models.bundle.card import CardFacts, render_card
from models.bundle.encoder import BundleEncoder
from models.bundle.fitting import calibrate, labelled_tracks, reference_vectors
from models.bundle.loading import load_bundle
from models.bundle.making import BundleFacts, BundleStorage, Extras, amend_bundle, make_bundle
from models.bundle.manifest import Manifest
from models.bundle.onnx_towers import OnnxTowers
from models.checksum import file_sha256
from models.training.checkpoint import read_extras
from models.training.data import open_training_data
from models.training.manifest import read_manifest
from models.training.mulan import TrainedMulan, load_trained_mulan
from models.training.run import CHECKPOINTS, Run, read_json

TAG_TEMPLATES = ("{label}", "{label} music", "a {label} track")
LABEL_KINDS = ("genre", "instrument")
TEXT_LICENCE_FILE = "TEXT_ENCODER_LICENCE.txt"
REFERENCE_CLIPS = 3000
# Half the size of float32, and the same vectors to seven digits; weights of both runtimes once.
STORAGE = BundleStorage("fp16", "fp16", "shared")


@dataclass(frozen=True)
class RunToBundle:
    """What to make of which run."""

    run: Path
    out: Path
    name: str
    licence: str
    checkpoint: str = "last"
    labels: tuple[Path, ...] = ()
    results: str = ""
    reference_clips: int = REFERENCE_CLIPS


def bundle_from_run(order: RunToBundle) -> Manifest:
    """Export, then embed the reference, calibrate and write the card; `out` must not exist."""
    trained = load_trained_mulan(order.run, order.checkpoint)
    text_folder = Path(trained.recipe.text_folder)
    text_facts = read_json(text_folder / "config.json")
    facts = BundleFacts(
        name=order.name,
        languages=tuple(text_facts.get("languages", ("en",))),
        licence=order.licence,
        lineage=_lineage(order, trained, text_facts),
        tag_templates=TAG_TEMPLATES,
        max_text_tokens=trained.reader.tokenizer.max_tokens,
        pad_token_id=trained.network.config.text.pad_token_id if trained.network.config.text else 0,
    )
    others = {TEXT_LICENCE_FILE: text_folder / "LICENCE.txt"}
    draft = Extras(card="being made", others=others if others[TEXT_LICENCE_FILE].is_file() else {})
    manifest = make_bundle(
        trained.network, text_folder / "tokenizer.json", order.out, facts, draft, STORAGE
    )
    data = open_training_data(trained.recipe.data)
    reference = reference_vectors(
        OnnxTowers(manifest, order.out, device="cpu", threads=0),
        data.entries,
        data.cache,
        clip_s=manifest.clip_seconds,
        limit=order.reference_clips,
    )
    amend_bundle(order.out, Extras(reference=reference))
    calibration = _calibrate(load_bundle(order.out, device="cpu", runtime="onnx"), order.labels)
    card = render_card(
        CardFacts(
            manifest=manifest,
            reference_clips=len(reference),
            calibration=None if calibration is None else calibration.facts,
            validation=last_validation(order.run),
            results=order.results,
        )
    )
    return amend_bundle(order.out, Extras(card=card, calibration=calibration))


def _calibrate(encoder: BundleEncoder, manifests: Sequence[Path]) -> Calibration | None:
    if not manifests:
        return None
    tracks = [
        track
        for path in manifests
        for track in labelled_tracks(encoder, read_manifest(path), path.parent, LABEL_KINDS)
    ]
    names = ", ".join(path.stem for path in manifests)
    return calibrate(encoder, tracks, facts={"fitted_on": names, "kinds": list(LABEL_KINDS)})


def _lineage(
    order: RunToBundle, trained: TrainedMulan, text_facts: Mapping[str, Any]
) -> dict[str, Any]:
    environment = read_json(order.run / "environment.json")
    kept = ("git_commit", "data_identity", "packages")
    checkpoint = Run(order.run).checkpoint(order.checkpoint)
    return {
        "recipe": f"mulan {read_json(order.run / 'config.json')['recipe']}",
        "updates": trained.update,
        "checkpoint": order.checkpoint,
        "checkpoint_sha256": file_sha256(checkpoint),
        **read_extras(checkpoint),
        "pretraining": _ancestors(trained),
        "environment": {name: environment[name] for name in kept},
        "text_encoder": {
            name: text_facts[name] for name in ("source", "source_sha256") if name in text_facts
        },
    }


def _ancestors(trained: TrainedMulan) -> list[dict[str, Any]]:
    """The runs that this one started from, as stage, recipe and updates planned."""
    found: list[dict[str, Any]] = []
    folder = trained.recipe.start_from or trained.recipe.muq_run
    while folder:
        stored = read_json(Path(folder) / "config.json")
        config = stored["config"]
        planned = config.get("optimiser", {}).get("updates")
        found.append({"stage": stored["stage"], "recipe": stored["recipe"], "updates": planned})
        folder = config.get("start_from") or config.get("muq_run") or config.get("rvq_run") or ""
    return found


def last_validation(run: Path) -> dict[str, float]:
    """The numbers of a run's last validation; none where it never validated."""
    lines = [line for line in Run(run).read_metrics() if line["kind"].startswith("valid")]
    if not lines:
        return {}
    return {name: value for name, value in lines[-1].items() if isinstance(value, float)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make a model bundle from a finished run.")
    parser.add_argument("run", type=Path, help="folder of a mulan run")
    parser.add_argument("out", type=Path, help="the bundle's folder, which must not exist")
    parser.add_argument("--name", required=True)
    parser.add_argument("--licence", required=True, help="of the trained weights")
    parser.add_argument("--checkpoint", choices=CHECKPOINTS, default="last")
    parser.add_argument("--labels", type=Path, action="append", default=[], help="a manifest")
    parser.add_argument("--results", type=Path, help="Markdown with held-out numbers")
    parser.add_argument("--reference-clips", type=int, default=REFERENCE_CLIPS)
    given = parser.parse_args(arguments)
    manifest = bundle_from_run(
        RunToBundle(
            run=given.run,
            out=given.out,
            name=given.name,
            licence=given.licence,
            checkpoint=given.checkpoint,
            labels=tuple(given.labels),
            results=given.results.read_text(encoding="utf-8") if given.results else "",
            reference_clips=given.reference_clips,
        )
    )
    size_bytes = sum(entry.size_bytes for entry in manifest.files.values())
    print(json.dumps({"model_id": manifest.model_id, "size_bytes": size_bytes}))


if __name__ == "__main__":
    main()
