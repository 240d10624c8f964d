"""Run by alembic, inside the transaction that `packshot.store.migrate` opened."""

from alembic import context

from packshot.store.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    transactional_ddl=True,  # on SQLite too: the store begins its transactions itself
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
