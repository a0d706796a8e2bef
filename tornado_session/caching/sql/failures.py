"""From the errors of SQLAlchemy and its drivers to CacheError, without the values that they quote."""

from enum import Enum, auto
from typing import Final

from sqlalchemy.exc import DBAPIError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from tornado_session.errors import CacheError, CacheTimeoutError

# A code is an SQLSTATE, a number of MySQL's, or SQLite's name of an error.
_CONFLICTS: Final = {
    "40001",  # PostgreSQL, SQL Server: serialization failure, deadlock
    "40P01",  # PostgreSQL: deadlock
    1213,  # MySQL: deadlock
    1020,  # MariaDB: the row has changed since this transaction first read it
    "SQLITE_BUSY_SNAPSHOT",  # SQLite: the same
}
_TIMEOUTS: Final = {
    "57014",  # PostgreSQL: statement_timeout
    "55P03",  # PostgreSQL: lock_timeout
    "HYT00",  # SQL Server
    1205,  # MySQL: innodb_lock_wait_timeout, of 50 seconds: no reason to wait for it again
    1969,  # MariaDB: max_statement_time
    3024,  # MySQL: max_execution_time
    "SQLITE_BUSY",  # SQLite: the file was locked for all of the busy timeout
    "SQLITE_BUSY_RECOVERY",
}
_LOST: Final = {
    "57P01",  # PostgreSQL: it was shut down
    "57P02",  # PostgreSQL: it crashed
    "57P03",  # PostgreSQL: it is starting
    2002,  # MySQL: no connection
    2003,
    2006,  # MySQL: the server has gone
    2013,  # MySQL: the connection broke
}
# The classes of SQLSTATE whose texts speak of connections, rights, names and resources, never of a row. (On PostgreSQL,
# that is. MySQL's errors have numbers here, and its texts quote the statement with its values.)
_HARMLESS: Final = ("08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58")
_UNKNOWN_TABLE: Final = {"42P01", "42S02", 1146}


class Kind(Enum):
    """What a failure means for the call."""

    CONFLICT = auto()
    """Nothing was applied; the same call may succeed now."""
    LOST = auto()
    """The connection broke; whether the call was applied is unknown."""
    TIMEOUT = auto()
    OTHER = auto()


class DriverError(Exception):
    """Stands in for a driver's error whose text may quote a key or a value; tells its type and its code."""


class Failure:
    """An error that came out of SQLAlchemy, understood.

    The error itself must go no further, not even as a context: it carries the parameters of the statement, and so do
    the texts of many drivers.
    """

    def __init__(self, error: Exception) -> None:
        original = _original(error)
        code = _code(original)
        self.kind = _kind(error, code)
        self.cause = original if _is_harmless(error, code) else DriverError(_describe(original, code))
        self.description = _describe(original, code)

    def error(self) -> CacheError:
        """The CacheError to raise, with the driver's error as its cause."""
        error = self._type()(f"the database {self._what()}: {self.description}")
        error.__cause__ = self.cause
        return error

    def _type(self) -> type[CacheError]:
        return CacheTimeoutError if self.kind is Kind.TIMEOUT else CacheError

    def _what(self) -> str:
        if self.kind is Kind.TIMEOUT:
            return "did not answer in time"
        return "cannot be reached" if self.kind is Kind.LOST else "could not answer"


def is_table_missing(error: CacheError) -> bool:
    """Whether a call failed because there is no such table."""
    cause = error.__cause__
    return cause is not None and (_code(cause) in _UNKNOWN_TABLE or str(cause).startswith("no such table"))


def _original(error: Exception) -> BaseException:
    return error if not isinstance(error, StatementError) or error.orig is None else error.orig


def _kind(error: Exception, code: str | int | None) -> Kind:
    if code in _CONFLICTS:
        return Kind.CONFLICT
    if code in _TIMEOUTS or isinstance(error, TimeoutError | PoolTimeoutError):
        return Kind.TIMEOUT
    if code in _LOST or isinstance(error, OSError) or _is_disconnection(error):
        return Kind.LOST
    # psycopg has no code for a server that it cannot reach.
    return Kind.LOST if code is None and isinstance(error, OperationalError) else Kind.OTHER


def _is_disconnection(error: Exception) -> bool:
    return isinstance(error, DBAPIError) and error.connection_invalidated


def _is_harmless(error: Exception, code: str | int | None) -> bool:
    """Whether the driver speaks of the connection, the server or the table, and not of the data."""
    # A RuntimeError is asyncio's, about loops.
    if isinstance(error, OperationalError | OSError | PoolTimeoutError | RuntimeError) or _is_disconnection(error):
        return True
    return code in _UNKNOWN_TABLE or (isinstance(code, str) and code.startswith(_HARMLESS))


def _code(error: BaseException) -> str | int | None:
    first = error.args[0] if error.args else None
    if isinstance(first, int):
        return first
    for name in ("sqlstate", "sqlite_errorname"):
        code = getattr(error, name, None)
        if isinstance(code, str):
            return code
    # pyodbc puts the SQLSTATE first.
    return first if isinstance(first, str) and len(first) == len("HY000") and first.isalnum() else None


def _describe(error: BaseException, code: str | int | None) -> str:
    """Type and code: all that can be told of any error without quoting data."""
    # asyncpg's own errors, which have the better names, are the causes of those that SQLAlchemy makes of them.
    kind = type(error.__cause__ or error)
    name = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"
    return name if code is None else f"{name} ({code})"
