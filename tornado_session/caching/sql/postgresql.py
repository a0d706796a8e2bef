"""PostgreSQL: every call is one statement, and a call that changes nothing writes nothing."""

from typing import Any

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    Executable,
    PoolProxiedConnection,
    Select,
    Table,
    Update,
    and_,
    delete,
    exists,
    func,
    literal_column,
    select,
)
from sqlalchemy.dialects.postgresql import Insert, insert

from tornado_session.caching.sql.dialect import BATCH
from tornado_session.caching.sql.on_conflict import OnConflictDialect


class PostgreSQL(OnConflictDialect):
    """PostgreSQL 9.5 and later, by asyncpg or psycopg."""

    clock = "CAST(EXTRACT(EPOCH FROM clock_timestamp()) * 1000000 AS BIGINT)"
    commits_by_option = True

    def __init__(self, table: Table, *, has_returning: bool = True) -> None:
        super().__init__(table, has_returning=has_returning)
        self.read_sliding = self._read_sliding()

    def earlier(self, one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
        # PostgreSQL alone leaves NULL out of LEAST.
        return func.least(one, other)

    @staticmethod
    def autocommits(pooled: PoolProxiedConnection) -> bool:
        connection: Any = pooled.dbapi_connection
        return bool(connection.autocommit)

    def _insert(self) -> Insert:
        return insert(self.table)

    def _read_sliding(self) -> Select[Any]:
        """Update the row if it is due and take what that returns, else read it: what is not due locks nothing.

        .. code-block:: text

            WITH slid AS (UPDATE … WHERE … due RETURNING …)
            SELECT … FROM slid UNION ALL SELECT … FROM sessions WHERE … AND NOT EXISTS (SELECT … FROM slid)
        """
        slid = self.slide.returning(*self.entry).cte("slid")
        unchanged = self.read.where(~exists(select(slid.c.version)))
        return select(select(slid).union_all(unchanged).subquery("entry"))

    def _slide_many(self, among: ColumnElement[bool]) -> Update:
        # Whoever has locked a row is about to slide, write or remove it, and needs no help.
        return self._slide().where(self._is_free(and_(among, self.live, self.due)))

    def _replace_with(self, new: CTE) -> Update:
        # What is left out is tried again alone, and waits alone.
        return super()._replace_with(new).where(self._is_free(self.table.c.key.in_(select(new.c.at))))

    def _is_free(self, condition: ColumnElement[bool]) -> ColumnElement[bool]:
        """Lock the rows of a condition but those that are locked already, and tell whether a row is one of them.

        Those who never wait for each other can neither deadlock nor be held up, all of them, by the one row that is
        locked for long.
        """
        key = self.table.c.key
        free = select(key).where(condition).with_for_update(skip_locked=True, key_share=True).cte("free")
        return key.in_(select(free.c.key))

    def _sweep(self) -> Executable:
        # Only a time that stands still during the statement can be looked up in the index.
        clock = self.clock.replace("clock_timestamp", "statement_timestamp")
        now: ColumnElement[int] = literal_column(clock, BigInteger())
        column = self.table.c
        oldest = select(column.key).where(column.expires <= now).order_by(column.expires).limit(BATCH)
        # Processes that sweep at once take different rows and never wait. A CTE, as it runs once whatever the plan is.
        expired = oldest.with_for_update(skip_locked=True).cte("expired")
        return delete(self.table).where(column.key.in_(select(expired.c.key)))
