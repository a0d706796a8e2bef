"""What PostgreSQL and SQLite share: INSERT … ON CONFLICT, and UPDATE … FROM."""

from abc import abstractmethod
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    ColumnElement,
    Executable,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    cast,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from tornado_session.caching.sql.dialect import GIVEN, Dialect


class OnConflictDialect(Dialect):
    """Upserts with ``INSERT … SELECT … ON CONFLICT (key) DO UPDATE``: one statement each."""

    def __init__(self, table: Table, *, has_returning: bool) -> None:
        super().__init__(table, has_returning=has_returning)
        if has_returning:
            self.replace_many = cache(self._replace_many)

    @abstractmethod
    def _insert(self) -> "postgresql.Insert | sqlite.Insert":
        """Begin an insert into the table."""

    def _set(self) -> Executable:
        return self._upsert()

    def _add(self) -> Executable:
        return self._upsert(where=~self.live)

    def _upsert(self, where: ColumnElement[bool] | None = None) -> Executable:
        new = self._insert()
        values: dict[str, Any] = {name: new.excluded[name] for name in self.columns(self.parameter)}
        row: Select[Any] = self.new_row()
        inserted = new.from_select(row.selected_columns.keys(), row)
        return inserted.on_conflict_do_update(index_elements=["key"], set_=values, where=where)

    def _replace_many(self, number: int) -> Executable:
        """Replace rows, each with what it is given, if it is live and of the version that was seen.

        .. code-block:: text

            WITH new AS (SELECT :at0 AS at, … UNION ALL SELECT :at1, …)
            UPDATE sessions SET … FROM new WHERE key = new.at AND version = new.seen AND … RETURNING key
        """
        new = union_all(*map(self._given, range(number))).cte("new")
        return self._replace_with(new).returning(self.table.c.key)

    def _given(self, number: int) -> Select[Any]:
        # With its type: PostgreSQL takes a column of nothing but NULL for text.
        types = {name: self.parameter(name).type for name in GIVEN}
        return select(*(cast(bindparam(f"{name}{number}"), type_).label(name) for name, type_ in types.items()))

    def _replace_with(self, new: CTE) -> Update:
        column, given = self.table.c, new.c.__getitem__
        seen = and_(column.key == new.c.at, column.version == new.c.seen)
        return update(self.table).values(self.columns(given)).where(seen, self.live, self.is_not_past(given))
