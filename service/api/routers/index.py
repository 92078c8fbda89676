"""The vector index of this process: how far it is, whether it equals SQL, and making it again."""

from __future__ import annotations

from fastapi import APIRouter

from service.api import schemas
from service.api.auth import MAY_ADMIN, MAY_READ
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.wire import index_out, verify_out
from service.keywords.store import repair_texts, verify_texts

router = APIRouter(prefix="/index", tags=["operation"])


@router.get("", dependencies=[MAY_READ], responses=errors())
def get_index_state(services: ServicesDep) -> schemas.IndexState:
    """How many vectors the index holds, and how far behind SQL it is."""
    return index_out(services.index.state())


@router.post("/verify", dependencies=[MAY_ADMIN], responses=errors())
def verify_index(services: ServicesDep) -> schemas.VerifyResult:
    """Compare the index with SQL, vector by vector, and the words of tracks with the tracks.

    Takes a while on a large library.
    """
    return verify_out(services.index.verify(), verify_texts(services.database))


@router.post("/repair", dependencies=[MAY_ADMIN], responses=errors())
def repair_index(services: ServicesDep) -> schemas.VerifyResult:
    """Compare, and make the index equal to SQL where it is not; tells what was wrong."""
    return verify_out(services.index.repair(), repair_texts(services.database))


@router.post("/rebuild", dependencies=[MAY_ADMIN], responses=errors())
def rebuild_index(services: ServicesDep) -> schemas.IndexState:
    """Make the index again from SQL; searches go on with the old one meanwhile."""
    services.index.rebuild()
    return index_out(services.index.state())
