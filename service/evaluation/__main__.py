"""`python -m service.evaluation`: prints the tables of docs/ranking.md."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

import models
from service.evaluation.fused import fused_table
from service.evaluation.music import read_music
from service.evaluation.parts import lay_ground, mixed_table, unwanted_table, wanted_table
from service.evaluation.track_scores import track_score_table
from service.evaluation.verdicts import lookalike_table, nonsense_table, relevance_table

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
    music = read_music(arguments.manifest, arguments.labels, arguments.cache, encoder).only(LABELS)
    ground = lay_ground(music, encoder)
    sections = {
        "Unwanted parts": unwanted_table(ground),
        "Unwanted parts, half weight": unwanted_table(ground, 0.5),
        "Several wanted parts": wanted_table(ground),
        "A text with a stored track": mixed_table(ground),
        "Track scores": track_score_table(music, encoder),
        "Words and sound": fused_table(music, encoder),
        "Relevance of unrelated pairs": relevance_table(music, encoder),
        "Texts that are not about music": nonsense_table(music, encoder),
        "Different recordings that look alike": lookalike_table(music),
    }
    print(f"{encoder.name} ({encoder.model_id}), {len(music.tracks)} tracks, ", end="")
    print(f"{len(music.names)} labels, {len(ground.pairs)} pairs")
    for title, text in sections.items():
        print(f"\n### {title}\n\n{text}")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m service.evaluation", description=__doc__)
    add = parser.add_argument
    add("--manifest", type=Path, action="append", required=True, help="may be given again")
    add("--labels", type=Path, action="append", required=True, help="a tagger's .npz; again too")
    add("--cache", type=Path, required=True, help="folder of clip vectors; filled where empty")
    add("--model", default=None, help="a bundle's name or folder")
    return parser.parse_args()


if __name__ == "__main__":
    main()
