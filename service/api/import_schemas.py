"""Wire types of batches and of embeddings that come from elsewhere."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.api.schemas import Wire

ImportStateName = Literal["running", "paused", "done", "cancelled"]
ItemStateName = Literal["waiting", "queued", "done", "duplicate", "failed", "cancelled"]


class WebhookRequest(Wire):
    """Whom to tell when the batch ends; every message is signed with the secret."""

    url: Annotated[str, Field(min_length=1, max_length=2000)]
    secret: (
        Annotated[str, Field(min_length=16, max_length=200, pattern=r"^[\x21-\x7e]+$")] | None
    ) = Field(None, description="Yours, or one is made. Never given out again.")


class ImportRequest(Wire):
    """A batch: a folder of the server, or files that the client is going to send."""

    source: Literal["folder", "upload"]
    folder: Annotated[str, Field(min_length=1, max_length=4000)] | None = Field(
        None, description="Absolute, and inside of what MUQUERY_IMPORT_ROOTS allows."
    )
    name: Annotated[str, Field(max_length=200)] | None = Field(None, description="For people.")
    reference: Annotated[str, Field(min_length=1, max_length=100)] | None = Field(
        None, description="Your own id: while a batch with it is open, asking again gives that one."
    )
    webhook: WebhookRequest | None = None

    @model_validator(mode="after")
    def _folder_belongs_to_its_source(self) -> ImportRequest:
        if (self.source == "folder") != (self.folder is not None):
            raise ValueError("a folder is given with source folder, and only then")
        return self


class DeliveryTry(Wire):
    at: datetime
    status: int | None = Field(description="What the receiver answered; null when nothing came.")
    error: str | None = Field(
        description="name_not_found, address_not_public, no_connection, "
        "certificate_not_trusted, timeout, …"
    )
    took_ms: int


class WebhookDelivery(Wire):
    """One message to the webhook, and every try to hand it over."""

    id: str
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    next_at: datetime | None = Field(description="When it is tried again; null once it has ended.")
    log: list[DeliveryTry]
    created_at: datetime


class ImportWebhook(Wire):
    url: str
    deliveries: list[WebhookDelivery] = Field(description="Newest first.")


class Import(Wire):
    """A batch of files and how far it is."""

    id: str
    source: Literal["folder", "upload"]
    name: str | None
    reference: str | None
    folder: str | None
    state: ImportStateName
    listed: bool = Field(description="Whether all its files are known; more may come otherwise.")
    counts: dict[str, int] = Field(description="Files in each state.")
    total_files: int
    ignored_files: int = Field(description="Files of the folder that are not audio, and links.")
    size_bytes: int
    audio_s: float = Field(description="Length of what was analysed.")
    active_s: float = Field(description="Time that was worked, without pauses.")
    audio_hours_per_hour: float | None = Field(
        description="Measured: over the last files while it runs, over all when it has ended."
    )
    eta_s: float | None = Field(description="Seconds left at that speed; null while unknown.")
    error_code: str | None = Field(description="Why it stands still, if it does.")
    error_message: str | None
    webhook: ImportWebhook | None
    created_at: datetime
    finished_at: datetime | None
    updated_at: datetime


class ImportCreated(Import):
    """A batch, and once the secret of its webhook."""

    webhook_secret: str | None = Field(
        None, description="Only in this answer: nothing gives it again."
    )


class ImportPage(Wire):
    items: list[Import]
    total: int
    next_cursor: str | None


class ImportItem(Wire):
    path: str = Field(description="Below the folder, or as the client named it.")
    state: ItemStateName
    size_bytes: int | None
    duration_s: float | None
    track_id: str | None
    error_code: str | None
    error_message: str | None
    ended_at: datetime | None


class ImportItemPage(Wire):
    items: list[ImportItem]
    total: int
    next_cursor: str | None


class RetryResult(Wire):
    retried: int
    needs_upload: int = Field(description="Failed files that only the client can send again.")


class EmbeddingsImported(Wire):
    """What became of the tracks of an exported file."""

    read: int
    known: int = Field(description="Tracks whose vectors are here already.")
    attached: int = Field(description="Tracks that were here and get these vectors now.")
    waiting: int = Field(description="Tracks whose file is not here: their vectors wait for it.")
    model_id: str


class WaitingEmbeddings(Wire):
    tracks: int = Field(description="Tracks whose vectors wait for their file.")
    size_bytes: int
