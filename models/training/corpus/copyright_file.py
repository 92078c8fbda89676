"""Read which licence a Debian package's copyright file gives to one of its files.

Machine-readable copyright files list source paths; packages install them elsewhere, so a pattern
is compared with the tail of the installed path. As in the published format, the last stanza that
matches wins.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

from models.training.scan import AUDIO_SUFFIXES

_AUDIO_SUFFIXES = tuple(AUDIO_SUFFIXES)


@dataclass(frozen=True)
class Stanza:
    """One `Files:` paragraph: its patterns, the licence's short name and the copyright holders."""

    patterns: tuple[str, ...]
    licence: str
    holders: str


@dataclass(frozen=True)
class Terms:
    """The licence and the attribution that a copyright file gives to one file."""

    licence: str
    attribution: str


def parse_stanzas(text: str) -> list[Stanza]:
    """Return the file paragraphs of a machine-readable copyright file; [] where it is free text."""
    if "Format:" not in text.split("\n\n", 1)[0]:
        return []
    stanzas = []
    for block in re.split(r"\n[ \t]*\n", text):
        fields = _fields(block)
        if "files" in fields and "license" in fields:
            stanzas.append(
                Stanza(
                    patterns=tuple(fields["files"].replace(",", " ").split()),
                    licence=normalise_licence(fields["license"].split("\n", 1)[0]),
                    holders=_one_line(fields.get("copyright", "")),
                )
            )
    return stanzas


def find_terms(stanzas: list[Stanza], installed_path: str) -> Terms | None:
    """Return the terms of an installed path, or None where no paragraph covers it."""
    found = None
    for stanza in stanzas:
        if any(_matches(pattern, installed_path) for pattern in stanza.patterns):
            found = Terms(licence=stanza.licence, attribution=stanza.holders)
    return found


def normalise_licence(name: str) -> str:
    """Bring a licence's short name to one spelling: "CC-by-SA 3.0" becomes "CC-BY-SA-3.0"."""
    parts = re.split(r"\s+(?:or|\|)\s+", name.strip(), flags=re.IGNORECASE)
    return " or ".join(_normalise_one(part) for part in parts)


def _normalise_one(name: str) -> str:
    compact = re.sub(r"\s+", "-", name.strip().strip(","))
    upper = compact.upper().replace("CREATIVECOMMONS", "CC").replace("CC0-1.0", "CC0-1.0")
    upper = re.sub(r"^CCBY", "CC-BY", upper)
    upper = re.sub(r"(BY|SA)(\d)", r"\1-\2", upper)
    upper = re.sub(r"^GPL(\d)", r"GPL-\1", upper)
    upper = re.sub(r"^(GPL-\d)\.0", r"\1", upper)
    if upper in {"CC0", "CC-0", "CC0-1"}:
        return "CC0-1.0"
    if upper in {"PUBLIC-DOMAIN", "PD", "PUBLICDOMAIN"}:
        return "public-domain"
    if upper in {"EXPAT", "MIT"}:
        return "MIT"
    return upper if upper.startswith(("CC", "GPL", "LGPL", "FAL", "OGA")) else compact


def _matches(pattern: str, installed_path: str) -> bool:
    if pattern == "*":
        return True
    if "/" not in pattern and pattern.endswith(_AUDIO_SUFFIXES):
        return fnmatchcase(PurePosixPath(installed_path).name, pattern)
    parts = [part for part in pattern.split("/") if part not in {"", "."}]
    while parts and parts[0] != "debian":
        tail = "/".join(parts)
        named = not any(sign in parts[0] for sign in "*?[")
        is_file = len(parts) == 1 and tail.endswith(_AUDIO_SUFFIXES) and named
        if named and (len(parts) > 1 or is_file) and fnmatchcase("/" + installed_path, "*/" + tail):
            return True
        parts = parts[1:]
    return False


def _fields(block: str) -> dict[str, str]:
    fields: dict[str, str] = {}
    name = ""
    for line in block.split("\n"):
        if line[:1] in {" ", "\t"}:
            if name:
                fields[name] += "\n" + line.strip()
        elif ":" in line:
            name, _, value = line.partition(":")
            name = name.strip().lower()
            fields[name] = value.strip()
    return fields


def _one_line(text: str) -> str:
    return re.sub(r"[ \t]+", " ", "; ".join(p.strip() for p in text.split("\n") if p.strip()))
