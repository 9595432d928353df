"""Run by Alembic: the migrations on the connection that `isp.database.upgrade` hands over."""

from alembic import context

from isp.database import REVISION_TABLE, Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=REVISION_TABLE,
    # SQLite alters a table by making a new one; and its DDL is transactional, as ours begins it.
    render_as_batch=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
