"""MariaDB and MySQL: an UPDATE returns nothing and an upsert has no condition, so some calls take two statements."""

from typing import Any

from sqlalchemy import Executable, PoolProxiedConnection, text
from sqlalchemy.dialects import mysql
from sqlalchemy.dialects.mysql import insert

from tornado_session.caching.sql.dialect import BATCH, Dialect


class MySQL(Dialect):
    """MariaDB 10.3 and MySQL 5.7 and later, by asyncmy or aiomysql.

    A reading that slides is a SELECT, and an UPDATE when it is due. ``add`` is one INSERT; only when a row is in
    the way it looks whether that has expired, and then takes it over.
    """

    # UTC_TIMESTAMP has no time zone and no summer time, unlike UNIX_TIMESTAMP(NOW()).
    clock = "TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6))"
    add_takes_over = False

    @staticmethod
    def autocommits(pooled: PoolProxiedConnection) -> bool:
        connection: Any = pooled.driver_connection
        return bool(connection.get_autocommit())

    def _set(self) -> Executable:
        # The new row is a derived table called ``new``: MySQL warns at every VALUES(column), which was the older way to
        # name its columns, and MariaDB knows no other that MySQL knows.
        new = self.new_row().subquery("new")
        inserted = insert(self.table).from_select(new.c.keys(), new.select())
        return inserted.on_duplicate_key_update({name: new.c[name] for name in self.columns(self.parameter)})

    def _add(self) -> Executable:
        row = self.new_row()
        return insert(self.table).from_select(row.selected_columns.keys(), row)

    def _sweep(self) -> Executable:
        # With a subquery, which the others use, it would read the whole table. SQLAlchemy 2.0.30 has no DELETE … LIMIT.
        table = mysql.dialect().identifier_preparer.format_table(self.table)
        return text(f"DELETE FROM {table} WHERE expires <= {self.clock} ORDER BY expires LIMIT {BATCH}")  # noqa: S608 - a checked name
