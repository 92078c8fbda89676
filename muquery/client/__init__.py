"""A typed client of a muquery service, for programs.

    from muquery.client import Client, Text

    with Client("http://127.0.0.1:8000") as muquery:
        for hit in muquery.search([Text("slow piano"), Text("drums", weight=-0.5)]).items:
            print(hit.track.title, hit.relevance)

`AsyncClient` has the same methods. docs/client.md shows more.
"""

from muquery.client.async_client import AsyncClient
from muquery.client.errors import (
    ApiError,
    Busy,
    Conflict,
    ConnectionFailed,
    Invalid,
    MuqueryError,
    NotAllowed,
    NotFound,
    UnexpectedAnswer,
)
from muquery.client.events import Event
from muquery.client.parts import Clip, Stored, Text
from muquery.client.retries import Retries
from muquery.client.sync_client import Client

__all__ = [
    "ApiError",
    "AsyncClient",
    "Busy",
    "Client",
    "Clip",
    "Conflict",
    "ConnectionFailed",
    "Event",
    "Invalid",
    "MuqueryError",
    "NotAllowed",
    "NotFound",
    "Retries",
    "Stored",
    "Text",
    "UnexpectedAnswer",
]
