"""SQLite: a file shared by the processes of one machine."""

from typing import Any

from sqlalchemy import Executable, PoolProxiedConnection, delete, select
from sqlalchemy.dialects.sqlite import Insert, insert

from tornado_session.caching.sql.dialect import BATCH
from tornado_session.caching.sql.on_conflict import OnConflictDialect


class SQLite(OnConflictDialect):
    """SQLite 3.24 and later, by aiosqlite.

    A reading that slides is a SELECT, and an UPDATE only when it is due: any UPDATE waits for the one writer that a
    file may have, even an UPDATE that finds nothing to change.
    """

    # The Julian day counts from noon, 2440587.5 days before 1970. SQLite's clock shows whole milliseconds.
    clock = "((CAST(julianday('now') * 86400000.0 + 0.5 AS INTEGER) - 210866760000000) * 1000)"
    resolution = 1000
    # Measured: two are as fast as ten, which wait for each other's locks with ever longer naps.
    max_connections = 2
    # The thread would go on all the same, and the connection, with its lock, stay open until it is collected.
    can_be_cancelled = False
    goes_away = False

    @staticmethod
    def autocommits(pooled: PoolProxiedConnection) -> bool:
        # Its isolation level does not tell: SQLAlchemy's recipe for real transactions has none, and begins them itself.
        connection: Any = pooled.driver_connection
        return not connection.in_transaction

    def _insert(self) -> Insert:
        return insert(self.table)

    def _sweep(self) -> Executable:
        column = self.table.c
        expired = select(column.key).where(column.expires <= self.now).order_by(column.expires).limit(BATCH)
        return delete(self.table).where(column.key.in_(expired))
