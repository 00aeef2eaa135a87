"""Runs the migrations on the connection that :mod:`skyproof.archive.schema` hands over, inside its transaction."""

from alembic import context

from skyproof.archive.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
