"""Alembic's scripts; `service.database.migrate` runs them."""
