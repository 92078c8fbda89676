"""Run migrations on the connection that `service.database.migrate` hands over.

Write a new revision with `alembic -c migrations/alembic.ini revision --autogenerate -m "..."`,
which has no such connection and reads the service's own settings.
"""

from __future__ import annotations

from typing import Any

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.pool import NullPool

from service.database.base import is_mapped
from service.database.engine import normalised_url, open_engine, writing_connection
from service.database.tables import Base
from service.settings import Settings


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_server_default=True,
        include_name=is_mapped,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    from_environment: dict[str, Any] = {}
    url = normalised_url(Settings(**from_environment).resolved_database_url)
    with writing_connection(
        open_engine(url, foreign_keys=False, poolclass=NullPool)
    ) as own_connection:
        run(own_connection)
