"""MODEL_CARD.md: what a bundle is, how it came about and what it can do, in Markdown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.bundle.manifest import Manifest


@dataclass(frozen=True)
class CardFacts:
    """Everything that a card says; `results` is Markdown that somebody measured and wrote."""

    manifest: Manifest
    reference_clips: int = 0
    calibration: Mapping[str, Any] | None = None
    validation: Mapping[str, float] = field(default_factory=dict)
    results: str = ""


def render_card(facts: CardFacts) -> str:
    """The card; parts that nothing is known about are said to be missing, not left out."""
    manifest = facts.manifest
    front_end = manifest.front_end
    parts = [
        f"# {manifest.name}",
        f"Joint embedding of music and text, `model_id` `{manifest.model_id}`. "
        f"Licence: {manifest.licence}.",
        "## What it takes and gives",
        f"- Audio: mono at {front_end.sample_rate_hz} Hz, windows of {manifest.clip_seconds:g} s.\n"
        f"- Text: up to {manifest.text.max_tokens} tokens; longer texts are refused.\n"
        f"- Vectors: {manifest.embed_dim} values of unit length; similarity is their product.\n"
        f"- Languages of its text encoder: {', '.join(manifest.languages)}.",
        "## How it was made",
        "```json\n" + json.dumps(manifest.lineage, indent=2, ensure_ascii=False) + "\n```",
        "## Held-out results",
        facts.results.strip() or "None were given when this bundle was made.",
        "## Last validation of the training run",
        _table(facts.validation) or "The run logged none.",
        "## Relevance and probabilities",
        f"Relevance is a rank among {facts.reference_clips} reference clips."
        if facts.reference_clips
        else "The bundle has no reference clips, so it gives no relevance.",
        _calibration_text(facts.calibration),
    ]
    return "\n\n".join(parts) + "\n"


def _table(values: Mapping[str, float]) -> str:
    rows = [f"| {name} | {value:.4g} |" for name, value in values.items()]
    return "\n".join(["| measure | value |", "|---|---|", *rows]) if rows else ""


def _calibration_text(calibration: Mapping[str, Any] | None) -> str:
    if calibration is None:
        return "The bundle is not calibrated: tags have a relevance and no probability."
    return (
        f"Probabilities were fitted on {calibration.get('fitted_on', 'labelled tracks')}: "
        f"{calibration['pairs']} pairs of track and label, of which "
        f"{calibration['positive_share']:.1%} fit; log loss {calibration['log_loss']:.3f}, "
        f"Brier score {calibration['brier_score']:.3f} on the same pairs."
    )
