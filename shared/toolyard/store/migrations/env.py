"""Alembic's entry: runs migrations on the connection that `toolyard.store.migrate` hands over.

The `alembic` command, which developers use, has none to hand over: it takes the database of the settings.
"""

import os

from alembic import context
from sqlalchemy import Connection

from toolyard.store import migrate, tables


def run(connection: Connection) -> None:
    """Bring this database to the wanted revision; SQLite's tables are copied where it cannot alter them."""
    context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with migrate.exclusive(os.environ.get("TOOLYARD_DATABASE_URL", "sqlite:///.toolyard/toolyard.db")) as opened:
        run(opened)
