"""The networks of music-text search, and what turns audio and text into their vectors.

Importing this package loads nothing: serving on a CPU runs without torch, so each public name
brings its module in when it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from models.bundle.disk import save_bundle
    from models.bundle.loading import load_bundle
    from models.published import load_published, save_published

_MODULE_OF = {
    "load_bundle": "models.bundle.loading",
    "save_bundle": "models.bundle.disk",
    "load_published": "models.published",
    "save_published": "models.published",
}

__all__ = ["load_bundle", "load_published", "save_bundle", "save_published"]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_MODULE_OF[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
