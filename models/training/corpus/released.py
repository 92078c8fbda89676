"""Texts of the released corpus that today's code would word otherwise.

The corpus of the shipped bundle grew while this code did: 75 recordings kept captions of an earlier
wording, six an attribution that was cut short. What was trained on is kept here, so that a build
gives the same data again, to the same hash.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path

from models.training.manifest import Caption, ManifestEntry

RELEASED_TEXTS = Path(__file__).with_name("released_texts.jsonl")


def with_released_texts(
    entries: Iterable[ManifestEntry], path: Path = RELEASED_TEXTS
) -> list[ManifestEntry]:
    """Return the entries with the texts that were released, where the file is the same one."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    released = {(record["id"], record["sha256"]): record for record in records}
    return [_restored(entry, released.get((entry.id, entry.sha256), {})) for entry in entries]


def _restored(entry: ManifestEntry, record: dict[str, object]) -> ManifestEntry:
    captions, attribution = record.get("captions"), record.get("attribution")
    if isinstance(captions, list):
        entry = dataclasses.replace(entry, captions=tuple(Caption(**item) for item in captions))
    if isinstance(attribution, str):
        entry = dataclasses.replace(entry, attribution=attribution)
    return entry
