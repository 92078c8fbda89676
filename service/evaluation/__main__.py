"""`python -m service.evaluation`: prints the tables of docs/ranking.md."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path

import models
from models.interface import MusicTextEncoder
from service.evaluation.copies import alike_table, copy_table, rule_table
from service.evaluation.figure import draw_relevance
from service.evaluation.fused import fused_table
from service.evaluation.music import LabelledMusic, label_recordings, read_recordings
from service.evaluation.parts import lay_ground, mixed_table, unwanted_table, wanted_table
from service.evaluation.rewritten import rewrite
from service.evaluation.track_scores import track_score_table
from service.evaluation.unrelated import CURVE_BARS, clip_curve, text_curve, unrelated_table
from service.evaluation.verdicts import nonsense_table

# Labels of the tagger that name a sound, and not a voice's absence or a decade.
LABELS = (
    "guitar", "classical", "slow", "techno", "strings", "drums", "electronic", "rock", "fast",
    "piano", "ambient", "beat", "violin", "synth", "quiet", "metal", "flute", "jazz", "dance",
    "loud", "vocal", "choir", "happy", "sad", "soft", "Hip-Hop", "acoustic", "blues", "folk",
    "weird",
)  # fmt: skip


def main() -> None:
    arguments = _arguments()
    logging.basicConfig(level=logging.INFO)
    encoder = models.load_bundle(arguments.model)
    recordings = read_recordings(arguments.manifest, arguments.cache, encoder)
    held_out = [each for each in recordings if each.is_held_out]
    music = label_recordings(recordings, arguments.labels).only(LABELS)
    print(f"{encoder.name} ({encoder.model_id})")
    _print_ranking("All recordings", music, encoder)
    _print_ranking("Held-out recordings", music.held_out(), encoder)
    copies = rewrite(held_out, arguments.copies, arguments.cache, encoder)
    print(f"\n## Relevance and copies: {len(recordings)} recordings, {len(held_out)} held out")
    _print(
        {
            "Relevance of unrelated pairs, held out": unrelated_table(held_out, encoder),
            "Copies": copy_table(copies),
            "Rules for copies": rule_table(copies, recordings),
            "Different recordings that look most alike": alike_table(recordings),
        }
    )
    draw_relevance(
        text_curve(held_out, encoder, CURVE_BARS),
        clip_curve(held_out, encoder, CURVE_BARS),
        arguments.figures / "relevance.png",
    )


def _print_ranking(title: str, music: LabelledMusic, encoder: MusicTextEncoder) -> None:
    """The sections that need labels."""
    ground = lay_ground(music, encoder)
    print(f"\n## {title}: {len(music.tracks)} tracks, ", end="")
    print(f"{len(music.names)} labels, {len(ground.pairs)} pairs")
    _print(
        {
            "Unwanted parts": unwanted_table(ground),
            "Unwanted parts, half weight": unwanted_table(ground, 0.5),
            "Several wanted parts": wanted_table(ground),
            "A text with a stored track": mixed_table(ground),
            "Track scores": track_score_table(music, encoder),
            "Words and sound": fused_table(music, encoder),
            "Texts that are not about music": nonsense_table(music, encoder),
        }
    )


def _print(sections: Mapping[str, str]) -> None:
    for title, text in sections.items():
        print(f"\n### {title}\n\n{text}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.evaluation", description=__doc__)
    add = parser.add_argument
    add("--manifest", type=Path, action="append", required=True, help="may be given again")
    add("--labels", type=Path, action="append", required=True, help="a tagger's .npz; again too")
    add("--cache", type=Path, required=True, help="folder of clip vectors; filled where empty")
    add("--copies", type=int, default=24, help="held-out recordings to write again; default 24")
    add("--figures", type=Path, default=Path("docs/images"), help="folder for relevance.png")
    add("--model", default=None, help="a bundle's name or folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
