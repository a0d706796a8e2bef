"""SQL Server: MERGE. Compiled and compared in the tests, but never run on a server of its kind."""

from typing import Any

from sqlalchemy import ColumnElement, Executable, PoolProxiedConnection, TextClause, cast, delete, select, text
from sqlalchemy.dialects import mssql

from tornado_session.caching.sql.dialect import BATCH, Dialect


class SQLServer(Dialect):
    """SQL Server 2016 and later, by aioodbc.

    A reading that slides is a SELECT, and an UPDATE when it is due, as on SQLite.
    """

    clock = "DATEDIFF_BIG(microsecond, CAST('19700101' AS datetime2), SYSUTCDATETIME())"
    # SQL Server takes two binary values for equal when they differ only in NULs at the end.
    terminator = b"\xff"

    @staticmethod
    def autocommits(pooled: PoolProxiedConnection) -> bool:
        connection: Any = pooled.dbapi_connection
        return bool(connection.autocommit)

    def _set(self) -> Executable:
        return self._merge("WHEN MATCHED")

    def _add(self) -> Executable:
        return self._merge(f"WHEN MATCHED AND kept.expires <= {self.clock}")

    def _sweep(self) -> Executable:
        column = self.table.c
        expired = select(column.key).where(column.expires <= self.now).order_by(column.expires).limit(BATCH)
        return delete(self.table).where(column.key.in_(expired))

    def parameter(self, name: str) -> ColumnElement[Any]:
        # ODBC cannot tell of a parameter in ``? IS NULL`` what it is.
        parameter = super().parameter(name)
        return cast(parameter, parameter.type)

    def _merge(self, matched: str) -> TextClause:
        """Insert the new row, or update the old one ``matched``.

        HOLDLOCK, because without it two MERGE of one key may both find nothing and both insert.
        """
        dialect: Any = mssql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
        quote = dialect.identifier_preparer.quote
        new = self.new_row().compile(dialect=dialect)
        key, *others = names = [quote(name) for name in ("key", *self.columns(self.parameter))]
        return text(
            f"MERGE INTO {dialect.identifier_preparer.format_table(self.table)} WITH (HOLDLOCK) AS kept "  # noqa: S608
            f"USING ({new}) AS new ON kept.{key} = new.{key} "
            f"{matched} THEN UPDATE SET {', '.join(f'{name} = new.{name}' for name in others)} "
            f"WHEN NOT MATCHED THEN INSERT ({', '.join(names)}) VALUES ({', '.join(f'new.{name}' for name in names)});"
        ).bindparams(*new.binds.values())
