"""The audit log: who tried to change what, and how it ended."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query
from pydantic import AwareDatetime

from service.api import access_schemas as schemas
from service.api.auth import MAY_ADMIN
from service.api.dependencies import ServicesDep
from service.api.errors import errors
from service.audit import AuditFilter, AuditView

router = APIRouter(prefix="/audit", tags=["access"])

Text = Annotated[str, Query(max_length=200, pattern=r"^[^\x00-\x1f]*$")]


def entry_out(view: AuditView) -> schemas.AuditEntry:
    entry = view.entry
    return schemas.AuditEntry(
        id=entry.pk,
        at=entry.at,
        actor=entry.actor,  # type: ignore[arg-type]  # the table's CHECK allows no other
        key_id=entry.key_id,
        key_name=view.key_name,
        address=entry.address,
        action=entry.action,
        target=entry.target,
        outcome=entry.outcome,  # type: ignore[arg-type]  # the same
        status=entry.status,
        request_id=entry.request_id,
    )


@router.get("", dependencies=[MAY_ADMIN], responses=errors())
def list_audit(
    services: ServicesDep,
    actor: Literal["key", "open", "local"] | None = None,
    key_id: Text | None = None,
    action: Text | None = None,
    target: Text | None = None,
    outcome: Literal["begun", "ok", "refused", "failed"] | None = None,
    since: Annotated[AwareDatetime | None, Query(description="From this time on.")] = None,
    until: Annotated[AwareDatetime | None, Query(description="Before this time.")] = None,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    cursor: Annotated[str | None, Query(max_length=4000)] = None,
) -> schemas.AuditPage:
    """Attempts to change something, newest first. Reading is not logged."""
    wanted = AuditFilter(actor, key_id, action, target, outcome, since, until)
    found = services.audit.list_entries(wanted, limit=limit, cursor=cursor)
    return schemas.AuditPage(
        items=[entry_out(view) for view in found.items],
        total=found.total,
        next_cursor=found.next_cursor,
    )
