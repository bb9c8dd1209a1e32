"""Alembic's entry: run the scripts on the connection the catalog holds."""

from alembic import context

from everloop.kernel.catalog.revision import VERSION_TABLE
from everloop.kernel.catalog.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    transaction_per_migration=False,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
