"""muquery: find music by describing it."""

from muquery.version import __version__

__all__ = ["__version__"]
