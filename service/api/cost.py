"""What each route costs: the class in which its calls are counted."""

from __future__ import annotations

from service.access.limits import CostClass

_BY_BEGINNING = (
    ("POST", "/tracks", CostClass.UPLOAD),
    ("POST", "/tracks/bulk", CostClass.OTHER),
    ("POST", "/import", CostClass.UPLOAD),
    ("POST", "/embeddings/import", CostClass.UPLOAD),
    ("*", "/search", CostClass.SEARCH),
    ("GET", "/tracks/{track_id}/passages", CostClass.SEARCH),
    ("POST", "/tags", CostClass.MODEL),
    ("PUT", "/vocabularies", CostClass.MODEL),
    ("GET", "/vocabularies/{name}/distribution", CostClass.MODEL),
    ("POST", "/embeddings", CostClass.MODEL),
)


def cost_class(method: str, template: str) -> CostClass:
    """The class of a route, by its method and its path without the prefix of the API."""
    best, length = CostClass.OTHER, 0
    for wanted, beginning, kind in _BY_BEGINNING:
        matches = wanted in ("*", method) and template.startswith(beginning)
        if matches and len(beginning) > length:
            best, length = kind, len(beginning)
    return best
