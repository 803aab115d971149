"""Alembic runs this with the connection that `gateway.index.migrate.upgrade` hands over."""

from alembic import context

from gateway.index.schema import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata, render_as_batch=True)
context.run_migrations()
