"""Between wire types of batches and those of their use cases."""

from __future__ import annotations

from service.api import import_schemas as wire
from service.database.import_tables import DeliveryState, WebhookDelivery
from service.imports.service import Created, ImportView, ItemView, Wanted


def wanted_in(request: wire.ImportRequest) -> Wanted:
    webhook = request.webhook
    return Wanted(
        folder=request.folder,
        name=request.name,
        reference=request.reference,
        webhook_url=webhook.url if webhook else None,
        webhook_secret=webhook.secret if webhook else None,
    )


def import_out(view: ImportView) -> wire.Import:
    batch, progress, problem = view.batch, view.progress, view.problem
    webhook = None
    if batch.webhook_url is not None:
        webhook = wire.ImportWebhook(
            url=batch.webhook_url, deliveries=[_delivery_out(each) for each in view.deliveries]
        )
    return wire.Import(
        id=batch.id,
        source=batch.source,  # type: ignore[arg-type]  # the table's CHECK allows no other
        name=batch.name,
        reference=batch.reference,
        folder=batch.folder,
        state=batch.state,  # type: ignore[arg-type]  # the same
        listed=batch.listed_at is not None,
        counts=progress.counts,
        total_files=progress.total,
        ignored_files=batch.ignored_files,
        size_bytes=progress.size_bytes,
        audio_s=progress.audio_s,
        active_s=progress.active_s,
        audio_hours_per_hour=progress.audio_hours_per_hour,
        eta_s=progress.eta_s,
        error_code=batch.error_code or (problem.code if problem else None),
        error_message=batch.error_message or (problem.message if problem else None),
        webhook=webhook,
        created_at=batch.created_at,
        finished_at=batch.finished_at,
        updated_at=batch.updated_at,
    )


def created_out(created: Created) -> wire.ImportCreated:
    shown = import_out(created.view).model_dump()
    return wire.ImportCreated(**shown, webhook_secret=created.webhook_secret)


def item_out(view: ItemView) -> wire.ImportItem:
    item = view.item
    return wire.ImportItem(
        path=item.path,
        state=item.state,  # type: ignore[arg-type]  # the table's CHECK allows no other
        size_bytes=item.size_bytes,
        duration_s=item.duration_s,
        track_id=view.track_id,
        error_code=item.error_code,
        error_message=item.error_message,
        ended_at=item.ended_at,
    )


def _delivery_out(row: WebhookDelivery) -> wire.WebhookDelivery:
    waits = row.state == DeliveryState.PENDING
    return wire.WebhookDelivery(
        id=row.id,
        state=row.state,  # type: ignore[arg-type]  # the table's CHECK allows no other
        attempts=row.attempts,
        next_at=row.next_at if waits else None,
        log=[wire.DeliveryTry.model_validate(entry) for entry in row.log],
        created_at=row.created_at,
    )
