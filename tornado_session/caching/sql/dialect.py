"""Dialect: what SQLCache says to a database, as far as every database understands it."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, Final, TypeAlias

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Delete,
    Executable,
    PoolProxiedConnection,
    Select,
    Table,
    Update,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)

GIVEN: Final = ("at", "data", "fresh", "seen", "until", "idle", "longest", "lifetime", "interval", "label")
"""The parameters of ``Dialect.replace_seen``."""
Given: TypeAlias = Callable[[str], ColumnElement[Any]]
"""Where a write finds what it is given, by the name of the parameter."""

PAGE: Final = 50
"""How many entries of a tag are read at once."""
BATCH: Final = 100
"""How many expired rows one sweep deletes at most."""


class Dialect(ABC):
    """The statements for one kind of database, built once, so that SQLAlchemy compiles each of them once.

    A subclass names the server's clock and adds ``set``, ``add`` and ``sweep``, which no two databases spell alike.
    The parameters have names of their own, because SQLAlchemy keeps those of the columns for itself:

    .. code-block:: text

        at     key      idle      sliding              until     absolute
        data   value    interval  refresh_interval     longest   relative
        fresh  version  label     tag                  lifetime  from now to the first end, absolute left aside
        seen   the version to be replaced              after     the last key of the page before
        keys   several keys
    """

    clock: ClassVar[str]
    """The server's time in microseconds since 1970, as SQL."""
    resolution: ClassVar[int] = 1
    """By how many microseconds that clock may be behind. Durations are longer by it, so that nothing ends early."""
    terminator: ClassVar[bytes] = b""
    """What follows every key and tag, where the database would not see a NUL at their end."""
    commits_by_option: ClassVar[bool] = False
    """Whether SQLAlchemy switches a connection to autocommit and back without asking the server."""

    max_connections: ClassVar[int] = 10
    """How many calls run at once, where nobody says otherwise."""
    can_be_cancelled: ClassVar[bool] = True
    """Whether a running statement may be cancelled, which closes its connection."""
    goes_away: ClassVar[bool] = True
    """Whether there is a server, which may be restarted while connections rest in the pool."""

    read_sliding: Select[Any] | None = None
    """Read an entry and slide it if that is due; where one statement cannot: ``read_due``, then ``slide``."""
    expects_slide: bool = False
    """Whether the last reading slid and the next will too, so that ``slide_returning`` is worth trying first."""
    replace_many: Callable[[int], Executable] | None = None
    """Gives the statement that does what ``replace_seen`` does to so many rows, and returns the keys of those it met.

    The parameters of each row have its number behind their names. ``None`` where no statement can tell whom it met.
    """
    add_takes_over: ClassVar[bool] = True
    """Whether ``add`` replaces an expired row; where it does not, a row in its way is an ``IntegrityError``."""

    def __init__(self, table: Table, *, has_returning: bool = False) -> None:
        self.table = table
        self.now: ColumnElement[int] = literal_column(self.clock, BigInteger())
        column = table.c
        live = or_(column.expires.is_(None), column.expires > self.now)
        named = column.key == self.parameter("at")
        among = column.key.in_(bindparam("keys", type_=column.key.type, expanding=True))
        self.entry = (column.value, column.version, column.expires, column.refreshed)
        self.live: ColumnElement[bool] = live
        self.due = and_(column.sliding.is_not(None), column.refreshed + column.refresh_interval <= self.now)
        self.not_past = self.is_not_past(self.parameter)

        self.tell_time = select(self.now)
        self.tell_live = select(_flag(live)).where(named)
        self.read = select(*self.entry).where(named, live)
        self.read_due = self._read_due().where(named, live)
        self.read_many = self._read_due().add_columns(column.key).where(among, live)
        self.slide = self._slide().where(named, live)
        self.slide_many = self._slide_many(among)
        self.slide_returning = self.slide.returning(*self.entry) if has_returning else None
        self.replace = self._write().where(named, live, self.not_past)
        self.replace_seen = self.replace.where(column.version == self.parameter("seen"))
        self.take_over = self._write().where(named, ~live, self.not_past)
        self.remove: Delete = delete(table).where(named, live)
        self.find = self._find()
        self.set = self._set()
        self.add = self._add()
        self.sweep = self._sweep()

    @abstractmethod
    def _set(self) -> Executable:
        """Insert or replace the row ``new_row``."""

    @abstractmethod
    def _add(self) -> Executable:
        """Insert the row ``new_row`` unless a live one exists."""

    @abstractmethod
    def _sweep(self) -> Executable:
        """Delete ``BATCH`` expired rows at most, found by the index on the expiry."""

    @staticmethod
    @abstractmethod
    def autocommits(pooled: PoolProxiedConnection) -> bool:
        """Whether the connection has committed each statement by itself; found out without a trip."""

    def commit(self, connection: Connection) -> None:
        """Commit what the connection has written, unless it did so by itself. Readings do without, and save a trip."""
        if not self.autocommits(connection.connection):
            connection.commit()

    def parameter(self, name: str) -> ColumnElement[Any]:
        """The parameter ``name``, typed as the column that it belongs to."""
        column = self.table.c
        columns = {"at": column.key, "after": column.key, "label": column.tag, "data": column.value}
        return bindparam(name, type_=columns[name].type if name in columns else BigInteger())

    def columns(self, given: Given) -> dict[str, ColumnElement[Any]]:
        """What a write puts under each column but the key."""
        return {
            "value": given("data"),
            "version": given("fresh"),
            "expires": self.earlier(given("until"), self.now + given("lifetime")),
            "sliding": given("idle"),
            "fixed_end": self.earlier(given("until"), self.now + given("longest")),
            "refresh_interval": given("interval"),
            "refreshed": self.now,
            "tag": given("label"),
        }

    def is_not_past(self, given: Given) -> ColumnElement[bool]:
        """Whether the absolute end of a write, if it has one, is to come by the server's clock."""
        return or_(given("until").is_(None), given("until") > self.now)

    def new_row(self) -> Select[Any]:
        """The row that a write brings; none when its absolute end has passed by the server's clock."""
        columns = {"key": self.parameter("at"), **self.columns(self.parameter)}
        return select(*(value.label(name) for name, value in columns.items())).where(self.not_past)

    def renewed(self) -> ColumnElement[int]:
        """The expiry of an entry that slides now."""
        column = self.table.c
        return self.earlier(column.fixed_end, self.now + column.sliding + column.refresh_interval)

    def earlier(self, one: ColumnElement[int], other: ColumnElement[int]) -> ColumnElement[int]:
        """The smaller of two numbers; of a number and NULL the number."""
        return case((one < other, one), else_=func.coalesce(other, one))

    def _read_due(self) -> Select[Any]:
        column = self.table.c
        return select(
            *self.entry,
            _flag(self.due).label("due"),
            column.refresh_interval,
            self.renewed().label("renewed"),
            self.now.label("now"),
        )

    def _slide(self) -> Update:
        return update(self.table).where(self.due).values(expires=self.renewed(), refreshed=self.now)

    def _slide_many(self, among: ColumnElement[bool]) -> Update:
        return self._slide().where(among, self.live)

    def _write(self) -> Update:
        return update(self.table).values(self.columns(self.parameter))

    def _find(self) -> Select[Any]:
        column = self.table.c
        page = and_(column.tag == self.parameter("label"), column.key > self.parameter("after"), self.live)
        return select(column.key, *self.entry).where(page).order_by(column.key).limit(PAGE)


def _flag(condition: ColumnElement[bool]) -> ColumnElement[int]:
    """1 or 0: SQL Server selects no conditions."""
    return case((condition, literal_column("1", BigInteger())), else_=literal_column("0", BigInteger()))
