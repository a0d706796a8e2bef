"""Which dialect an engine speaks."""

from typing import Final

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncEngine

from tornado_session.caching.sql.dialect import Dialect
from tornado_session.caching.sql.mysql import MySQL
from tornado_session.caching.sql.postgresql import PostgreSQL
from tornado_session.caching.sql.sqlite import SQLite
from tornado_session.caching.sql.sqlserver import SQLServer
from tornado_session.errors import ConfigurationError

DIALECTS: Final[dict[str, type[Dialect]]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "mysql": MySQL,
    "mariadb": MySQL,
    "mssql": SQLServer,
}
"""By SQLAlchemy's names of databases."""


def choose_dialect(engine: AsyncEngine, table: Table) -> Dialect:
    """The dialect for ``engine``; raises ``ConfigurationError`` where there is none."""
    if not isinstance(engine, AsyncEngine):
        raise ConfigurationError(
            f"engine must be an AsyncEngine, not {type(engine).__name__}; make it with create_cache_engine() or "
            f"sqlalchemy.ext.asyncio.create_async_engine()"
        )
    dialect = DIALECTS.get(engine.dialect.name)
    if dialect is None:
        raise ConfigurationError(f"SQLCache speaks {', '.join(DIALECTS)}, but the engine is for {engine.dialect.name}")
    return dialect(table, has_returning=engine.dialect.update_returning)
