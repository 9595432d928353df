"""Run by Alembic: the migrations on the connection that `isp.database.upgrade` hands over."""

from alembic import context

from isp.database import REVISION_TABLE, Base

for table in Base.metadata.tables.values():
    for index in table.indexes:  # `isp.tables.partial_index` names SQLite only; a draft needs both
        if "sqlite_where" in index.dialect_kwargs:
            index.dialect_kwargs["postgresql_where"] = index.dialect_kwargs["sqlite_where"]

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
