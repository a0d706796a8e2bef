"""Creating the table, also when several processes do it at once, and saying what to do where it is forbidden."""

import asyncio
from functools import partial

from sqlalchemy import Connection, Index, Table, inspect
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.schema import CreateIndex, CreateTable

from tornado_session.caching.sql.database import Database
from tornado_session.errors import CacheError, CacheTimeoutError

Definition = CreateTable | CreateIndex


async def create_table(database: Database, table: Table) -> None:
    """Create what is missing of the table and its indexes; raise ``CacheError`` with the SQL when that is impossible.

    Another process may be faster at any moment: that a statement failed is no error when nothing is missing then.
    """
    for pause in (0.02, 0.04, 0.08, None):
        missing = await database.run(partial(_missing, table), repeatable=True)
        if not missing:
            return
        try:
            await database.run(partial(_execute, missing))
        except CacheTimeoutError:
            raise
        except CacheError as error:
            if pause is None:
                raise CacheError(
                    f"the table {table.name!r} or an index of it is missing, and this account could not create it: "
                    f"{error.__cause__}; let one that may create tables run:\n{database.spell(missing)}"
                ) from error.__cause__
        else:
            return
        await asyncio.sleep(pause)


def _execute(definitions: list[Definition], connection: Connection) -> None:
    for definition in definitions:
        connection.execute(definition)
    connection.commit()


def _missing(table: Table, connection: Connection) -> list[Definition]:
    """The statements that are still to be run."""
    inspector = inspect(connection)
    indexes = sorted(table.indexes, key=_name)
    try:
        columns = {column["name"] for column in inspector.get_columns(table.name)}
    except NoSuchTableError:
        columns = set()
    # No columns and no error: SQLAlchemy asks SQLite in two steps, and the table was made in between.
    if not columns:
        return [CreateTable(table), *map(CreateIndex, indexes)]
    lacking = [column.name for column in table.c if column.name not in columns]
    if lacking:
        raise CacheError(
            f"there is a table {table.name!r} already, which is not of this package: it has no column "
            f"{', '.join(lacking)}; name another one: SQLCache(engine, table=...)"
        )
    existing = {index["name"] for index in inspector.get_indexes(table.name)}
    return [CreateIndex(index) for index in indexes if index.name not in existing]


def _name(index: Index) -> str:
    return str(index.name)
