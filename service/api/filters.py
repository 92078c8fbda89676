"""What endpoints that take a filter share."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from service.api.filter_schemas import FilterText
from service.filtering.nodes import Filter, asks_tags
from service.runtime import Services

FilterParameter = Annotated[FilterText | None, Query(alias="filter")]
TextParameter = Annotated[
    str | None,
    Query(
        min_length=1,
        max_length=500,
        pattern=r"^[^\x00-\x08\x0e-\x1f]*$",
        description="In title, artist, album or file name.",
    ),
]


def tags_model(services: Services, node: Filter | None) -> str | None:
    """The model whose tags a filter asks for, None if it asks for none; raises Unavailable."""
    if node is None or not asks_tags(node):
        return None
    return services.find_model_id() or services.encoder.get().model_id
