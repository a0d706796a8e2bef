"""What PostgreSQL and SQLite share: INSERT … ON CONFLICT."""

from abc import abstractmethod
from typing import Any

from sqlalchemy import ColumnElement, Executable, Select
from sqlalchemy.dialects import postgresql, sqlite

from tornado_session.caching.sql.dialect import Dialect


class OnConflictDialect(Dialect):
    """Upserts with ``INSERT … SELECT … ON CONFLICT (key) DO UPDATE``: one statement each."""

    @abstractmethod
    def _insert(self) -> "postgresql.Insert | sqlite.Insert":
        """Begin an insert into the table."""

    def _set(self) -> Executable:
        return self._upsert()

    def _add(self) -> Executable:
        return self._upsert(where=~self.live)

    def _upsert(self, where: ColumnElement[bool] | None = None) -> Executable:
        new = self._insert()
        values: dict[str, Any] = {name: new.excluded[name] for name in self.columns()}
        row: Select[Any] = self.new_row()
        inserted = new.from_select(row.selected_columns.keys(), row)
        return inserted.on_conflict_do_update(index_elements=["key"], set_=values, where=where)
