"""The sets of tracks that a bundle is judged on, where they lie, and how to get them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from models.training.manifest import ManifestEntry, read_manifest

# From `muquery train corpus build`, and from `muquery evaluate fetch`.
BUILT = ("e1", "e2", "e3", "real", "renders_styles", "renders_font")
# Of all held-out recordings, those of one package are enough to read what is found among them.
COLLECTION = "unknown-horizons"
FETCHED = ("labelled_dev", "labelled_test", "generated")


@dataclass(frozen=True)
class EvaluationSets:
    """The manifests of a corpus folder by name, with what is missing and how to get it."""

    folder: Path
    sets: dict[str, tuple[ManifestEntry, ...]]
    missing: tuple[str, ...] = ()
    trained_on: tuple[str, ...] = field(default=())
    """Ids that the bundle at hand was trained on before they were held out: left out."""

    def get(self, name: str) -> tuple[ManifestEntry, ...]:
        """The tracks of a set; none where it is missing."""
        return self.sets.get(name, ())


def read_sets(corpus: Path, model_id: str, with_test: bool) -> EvaluationSets:
    """Read what a corpus folder holds; without `with_test` the labelled test part is not opened.

    Tracks on which the model was trained are taken out of the labelled sets.
    """
    folder = corpus / "eval"
    wanted = [n for n in (*BUILT, *FETCHED) if with_test or n != "labelled_test"]
    found = {n: read_manifest(folder / f"{n}.jsonl") for n in wanted if _path(folder, n).exists()}
    trained_on = {
        entry.id
        for entries in found.values()
        for entry in entries
        if model_id in entry.tags.get("trained_on_by", ())
    }
    sets = {
        name: tuple(entry for entry in entries if entry.id not in trained_on)
        for name, entries in found.items()
    }
    sets["real"] = tuple(
        entry for entry in sets.get("real", ()) if entry.source.startswith(f"{COLLECTION} ")
    )
    labelled = (*sets.get("labelled_dev", ()), *sets.get("labelled_test", ()))
    if with_test and labelled:
        sets["labelled"] = labelled
        # What no bundle was ever trained on: the same tracks for every bundle that is compared.
        for name in ("labelled", "labelled_test"):
            common = [e for e in sets.get(name, ()) if not e.tags.get("trained_on_by")]
            if len(common) < len(sets.get(name, ())):
                sets[f"{name}_common"] = tuple(common)
    return EvaluationSets(
        folder=folder,
        sets=sets,
        missing=tuple(_how_to_get(corpus, [n for n in wanted if n not in found])),
        trained_on=tuple(sorted(trained_on)),
    )


def _path(folder: Path, name: str) -> Path:
    return folder / f"{name}.jsonl"


def _how_to_get(corpus: Path, names: Sequence[str]) -> list[str]:
    lines = []
    for listed, command, size in (
        (FETCHED, f"muquery evaluate fetch --corpus {corpus}", "about 1.5 GB of downloads"),
        (BUILT, f"muquery train corpus build --out {corpus}", "about 14 GB of disk"),
    ):
        gone = [name for name in names if name in listed]
        if gone:
            lines.append(f"{', '.join(gone)}: `{command}` ({size})")
    return lines
