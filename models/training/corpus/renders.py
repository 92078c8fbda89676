"""Build the rendered part of the corpus: which styles are held out, then scores to Opus files."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from models.checksum import file_sha256
from models.training.corpus import audio
from models.training.corpus.captions import describe_render
from models.training.corpus.files import split_folder
from models.training.corpus.render import (
    FONTS,
    HELD_OUT_FONT,
    SAMPLE_RATE_HZ,
    Plan,
    RenderError,
    SoundFont,
    plan_solos,
    plan_style_pieces,
    render,
    write_score,
)
from models.training.corpus.styles import find_style
from models.training.countdown import Say, counted
from models.training.manifest import ManifestEntry, Split, read_manifest, write_manifest

STYLE_LIBRARY = Path("/usr/share/mma/lib")
LONGEST_S = 18.0
BIT_RATE = 64_000
SEED = 20261122
TRAIN_GROWTH = 3.0
"""Training renders of a style for each one that its genre's count alone would ask for."""
SOLOS = 8
"""Pieces of each melodic instrument alone."""
# Writing the journal takes a second: an interrupted build loses a few minutes at most.
_KEEP_EVERY = 200


@dataclass(frozen=True)
class Job:
    """One file to render: a plan, a soundfont, and the split that its style file fell into."""

    plan: Plan
    font: SoundFont
    split: Split

    @property
    def id(self) -> str:
        return f"{self.plan.id}-{self.font.family}"


@dataclass(frozen=True)
class Rendered:
    """What came of the jobs: entries, and the jobs that failed with their reasons."""

    entries: tuple[ManifestEntry, ...]
    failures: tuple[str, ...]


def split_of_styles(library: Path) -> dict[str, Split]:
    """Put each style file into one split, by hash; a genre with few files stays in training."""
    files = [file for file in sorted(library.glob("*/*.mma")) if find_style(file.stem)]
    per_genre = Counter(_genre(file) for file in files)
    splits: dict[str, Split] = {}
    for file in files:
        name = f"{file.parent.name}/{file.stem}"
        lot = int(hashlib.sha256(f"{SEED}:{name}".encode()).hexdigest()[:8], 16) % 100
        held: Split = "test" if lot < 22 else "valid" if lot < 29 else "train"
        splits[name] = held if per_genre[_genre(file)] >= 3 else "train"
    return splits


def plan_jobs(library: Path, scale: float) -> list[Job]:
    """Plan every render: rare genres get more pieces each; test pieces also in the unseen font.

    `scale` multiplies what is trained on. Held-out pieces stay as they are (up to a scale of 1),
    so that figures of corpora of different sizes can be compared.
    """
    splits = split_of_styles(library)
    per_genre = Counter(_genre(library / f"{name}.mma") for name in splits)
    wanted = {}
    for name, split in splits.items():
        files = per_genre[_genre(library / f"{name}.mma")]
        pieces = 4 if split == "test" else 9 if files <= 2 else 5 if files <= 4 else 3
        grown = TRAIN_GROWTH * scale if split == "train" else min(scale, 1.0)
        wanted[name] = max(1, round(pieces * grown))
    jobs = []
    for plan in plan_style_pieces(library, SEED, wanted):
        split = splits[plan.style_file or ""]
        jobs.append(Job(plan, _font(plan), split))
        if split == "test":
            jobs.append(Job(plan, HELD_OUT_FONT, split))
    for plan in plan_solos(SEED, max(1, round(SOLOS * scale))):
        jobs.append(Job(plan, _font(plan), "train"))
    return jobs


def build_renders(out: Path, jobs: Sequence[Job], workers: int, say: Say = print) -> Rendered:
    """Render every job below `out`; what an earlier build finished is kept.

    Held-out files lie below `out`/eval, apart from everything that training reads.
    """
    journal = out / "renders.jsonl"
    finished = {entry.id: entry for entry in read_manifest(journal)} if journal.exists() else {}
    todo = [job for job in jobs if not _is_finished(out, finished.get(job.id))]
    for split in ("train", "test"):
        (split_folder(out, split) / "audio" / "renders").mkdir(parents=True, exist_ok=True)
    failures = []
    with ProcessPoolExecutor(max_workers=workers) as pool:
        results = pool.map(partial(_render_job, out), todo, chunksize=8)
        told = counted(results, len(todo), "rendered", say)
        for number, (job, result) in enumerate(zip(todo, told, strict=True), start=1):
            if isinstance(result, str):
                failures.append(f"{job.id}: {result}")
            else:
                finished[job.id] = result
            if number % _KEEP_EVERY == 0:
                write_manifest(journal, finished.values())
    entries = [finished[job.id] for job in jobs if job.id in finished]
    write_manifest(journal, finished.values())
    return Rendered(tuple(entries), tuple(failures))


def _is_finished(out: Path, entry: ManifestEntry | None) -> bool:
    return entry is not None and (split_folder(out, entry.split) / entry.path).exists()


def _render_job(out: Path, job: Job) -> ManifestEntry | str:
    target = split_folder(out, job.split) / "audio" / "renders" / f"{job.id}.opus"
    try:
        with tempfile.TemporaryDirectory() as scratch:
            score = Path(scratch) / "score.mid"
            facts = write_score(job.plan, score)
            if not facts.programs:
                return "no voice plays"
            if not target.exists():
                samples = render(score, job.font, job.plan.room, LONGEST_S)
                part = target.with_suffix(f".{os.getpid()}.part")
                audio.encode_opus(part, samples, SAMPLE_RATE_HZ, BIT_RATE, {"title": job.id})
                part.replace(target)
    except (RenderError, audio.AudioError) as error:
        return str(error)
    described = describe_render(facts, job.plan.lead_seed)
    return ManifestEntry(
        id=job.id,
        path=f"audio/renders/{target.name}",
        duration_s=round(audio.probe(target).duration_s, 3),
        split=job.split,
        group=f"style:{job.plan.style_file}" if job.plan.style_file else f"solo:{job.plan.id}",
        source=f"render: {job.plan.style_file or 'solo'} with {job.font.name}",
        sha256=file_sha256(target),
        title=None,
        artist=None,
        licence=job.font.licence,
        attribution=f"rendered by this project with the soundfont {job.font.name}",
        captions=described.captions,
        tags=described.tags,
    )


def _font(plan: Plan) -> SoundFont:
    return FONTS[plan.lead_seed % len(FONTS)]


def _genre(file: Path) -> str:
    style = find_style(file.stem)
    return style.genre if style else ""
