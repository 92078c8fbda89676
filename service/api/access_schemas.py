"""Wire types of keys and of the audit log."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from service.api.schemas import Wire
from service.keys import Scope

KeyName = Annotated[str, Field(min_length=1, max_length=100)]
Scopes = Annotated[list[Scope], Field(min_length=1, max_length=3)]
RateFactor = Annotated[
    float, Field(gt=0, le=1000, description="How many times the usual rates the key may call.")
]
PerAddress = Annotated[
    bool,
    Field(description="Count each address that uses the key on its own: for keys in public pages."),
]


class KeyCreate(Wire):
    """A key to be made."""

    name: KeyName
    scopes: Scopes = Field([Scope.READ], min_length=1, max_length=3)
    expires_at: AwareDatetime | None = None
    rate_factor: RateFactor = 1.0
    per_address: PerAddress = False


class KeyPatch(Wire):
    """Fields to change; what is absent stays, and a null `expires_at` lets the key live on."""

    name: KeyName | None = None
    scopes: Scopes | None = None
    expires_at: AwareDatetime | None = None
    rate_factor: RateFactor | None = None
    per_address: PerAddress | None = None


class Key(Wire):
    """A key; its secret is stored nowhere."""

    id: str
    name: str
    scopes: list[Scope]
    state: Literal["valid", "expired", "revoked"]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    rate_factor: float
    per_address: bool


class NewKey(Wire):
    """A key just made, with the one sight of its secret."""

    key: Key
    secret: str = Field(description="Send it as `Authorization: Bearer …`. Never shown again.")


class KeyPage(Wire):
    items: list[Key] = Field(description="Newest first, revoked ones too.")
    total: int
    next_cursor: str | None


class OwnAccess(Wire):
    """What the caller of this very call may do."""

    key: Key | None = Field(description="None where no key was sent, and none was asked for.")
    scopes: list[Scope] = Field(description="Everything that the caller's calls are covered by.")


class AuditEntry(Wire):
    """One attempt to change something."""

    id: int
    at: datetime
    actor: Literal["key", "open", "local"] = Field(
        description="A key; a caller of a service that asks for none; the command line."
    )
    key_id: str | None
    key_name: str | None
    address: str | None
    action: str = Field(description="The operation's id in this document, or a command's name.")
    target: str | None = Field(description="Id of what was changed.")
    outcome: Literal["begun", "ok", "refused", "failed"] = Field(
        description="`begun` for long: the process died, and what it had committed is there."
    )
    status: int | None = Field(description="The HTTP status of the answer.")
    request_id: str | None


class AuditPage(Wire):
    items: list[AuditEntry] = Field(description="Newest first.")
    total: int
    next_cursor: str | None
