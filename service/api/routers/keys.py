"""Keys: made, changed, rotated and revoked by administrators."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query

from service.api import access_schemas as schemas
from service.api.auth import MAY_ADMIN, CallerDep
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.api.request_context import note_target
from service.database.tables import ApiKey
from service.errors import InvalidRequest
from service.keys import KeyNotFound, state_of

router = APIRouter(prefix="/keys", tags=["access"])

_ID_CHARS = frozenset("0123456789abcdef")

AllowLastAdmin = Annotated[
    bool,
    Query(description="Go on although no usable admin key would be left (409 without it)."),
]


def known_form(key_id: Annotated[str, Path(max_length=64)]) -> str:
    """The path's id; a text that cannot be an id is no key, and never reaches the database."""
    if not key_id or not _ID_CHARS.issuperset(key_id):
        raise KeyNotFound
    return key_id


KeyId = Annotated[str, Depends(known_form)]


def key_out(key: ApiKey) -> schemas.Key:
    return schemas.Key.model_validate(
        {
            **{name: getattr(key, name) for name in schemas.Key.model_fields if name != "state"},
            "state": state_of(key).value,
        }
    )


@router.get("", dependencies=[MAY_ADMIN], responses=errors())
def list_keys(
    services: ServicesDep,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=4000)] = None,
) -> schemas.KeyPage:
    """Keys, newest first, without their secrets."""
    found = services.keys.list_keys(limit=limit, cursor=cursor)
    return schemas.KeyPage(
        items=[key_out(key) for key in found.items],
        total=found.total,
        next_cursor=found.next_cursor,
    )


@router.post("", status_code=201, dependencies=[MAY_ADMIN], responses=errors(413))
def create_key(services: ServicesDep, wanted: schemas.KeyCreate) -> schemas.NewKey:
    """Make a key. Its secret is in this answer and nowhere else, ever."""
    key, secret = services.keys.create(wanted.model_dump())
    note_target(key.id)
    return schemas.NewKey(key=key_out(key), secret=secret)


@router.get("/own", responses=errors())
def get_own_access(caller: CallerDep) -> schemas.OwnAccess:
    """The key that this call came with, and what it may do."""
    key = None if caller.key is None else key_out(caller.key)
    return schemas.OwnAccess(key=key, scopes=caller.scopes)


@router.get("/{key_id}", dependencies=[MAY_ADMIN], responses=errors(404))
def get_key(services: ServicesDep, key_id: KeyId) -> schemas.Key:
    """One key."""
    return key_out(services.keys.get_key(key_id))


@router.patch("/{key_id}", dependencies=[MAY_ADMIN], responses=errors(404, 409, 413))
def edit_key(
    services: ServicesDep,
    key_id: KeyId,
    changes: schemas.KeyPatch,
    allow_last_admin: AllowLastAdmin = False,
) -> schemas.Key:
    """Change the fields that are given; in force with the next call."""
    values = changes.model_dump(exclude_unset=True)
    empty = [name for name, value in values.items() if value is None and name != "expires_at"]
    if empty:
        raise InvalidRequest("These fields cannot be null.", fields=empty)
    return key_out(services.keys.change(key_id, values, allow_last_admin=allow_last_admin))


@router.delete("/{key_id}", status_code=204, dependencies=[MAY_ADMIN], responses=errors(404, 409))
def revoke_key(
    services: ServicesDep, key_id: KeyId, allow_last_admin: AllowLastAdmin = False
) -> None:
    """Revoke a key for good. It stays in the list, because the audit log names it."""
    services.keys.revoke(key_id, allow_last_admin=allow_last_admin)


@router.post(
    "/{key_id}/rotate",
    status_code=201,
    dependencies=[MAY_ADMIN],
    responses=errors(404, 409, 413),
)
def rotate_key(
    services: ServicesDep,
    key_id: KeyId,
    grace_s: Annotated[
        float, Query(ge=0, le=365 * 86400, description="Seconds that the old key still works.")
    ] = 0.0,
) -> schemas.NewKey:
    """A new key of the same kind in place of this one, which ends after the grace."""
    key, secret = services.keys.rotate(key_id, timedelta(seconds=grace_s))
    note_target(f"{key_id}/{key.id}")
    return schemas.NewKey(key=key_out(key), secret=secret)
