"""Origins of web pages, as browsers name them: scheme, host, and a port that is not usual."""

from __future__ import annotations

from urllib.parse import urlsplit

ANY_ORIGIN = "*"
_USUAL_PORTS = {"http": 80, "https": 443}


def parse_origins(text: str) -> frozenset[str]:
    """Origins separated by commas, in the form that browsers send; raises ValueError.

    "*" means every origin. Paths, wildcards within a name and "null" are refused: none of them
    would ever match what it seems to.
    """
    parts = (part.strip() for part in text.split(","))
    return frozenset(_origin(part) for part in parts if part)


def _origin(text: str) -> str:
    if text == ANY_ORIGIN:
        return text
    parts = urlsplit(text)
    is_bare = parts.path in ("", "/") and not parts.query and not parts.fragment
    if parts.scheme not in _USUAL_PORTS or not parts.hostname or "@" in text or not is_bare:
        raise ValueError(f"{text!r} is no origin; write it as https://music.example.org")
    if ANY_ORIGIN in parts.hostname:
        raise ValueError(f"{text!r}: name each origin, or all of them by * alone")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    port = parts.port
    usual = port is None or port == _USUAL_PORTS[parts.scheme]
    return f"{parts.scheme}://{host}" + ("" if usual else f":{port}")
