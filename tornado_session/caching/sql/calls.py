"""What each call of SQLCache does with its connection: one statement, where the database has one for it.

.. code-block:: text

    statements      PostgreSQL          SQLite, SQL Server    MariaDB, MySQL
    get             1                   1, 2 when it slides   1, 2 when it slides
    get, no slide   1                   1                     1
    several gets    1, 2 when one slides
    set, replace    1                   1                     1
    several replace 1, 1 more for each that it leaves out     1 each, as on SQL Server
    add             1                   1                     1, 2 when the key is taken, 3 by an expired entry
    refresh         1, 2 when it does not slide
    remove          1                   1                     1
    find            1 for 50 entries
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeVar

from sqlalchemy import Connection, Executable, Row
from sqlalchemy.exc import IntegrityError

from tornado_session.caching.contract import CacheEntry
from tornado_session.caching.sql.dialect import GIVEN, Dialect
from tornado_session.caching.sql.failures import Failure, Kind
from tornado_session.caching.sql.rows import Parameters, decode_key, entry
from tornado_session.errors import CacheError

T = TypeVar("T")

ATTEMPTS: Final = 5
"""How often ``add`` tries to insert while others add, remove and sweep the same key; and how often one of several
slides is tried that meets a conflict."""


class Read(NamedTuple):
    """An entry to be read, and whether that slides its expiry."""

    at: bytes
    slides: bool


def read(dialect: Dialect, at: bytes, connection: Connection) -> CacheEntry | None:
    """Read an entry."""
    row = connection.execute(dialect.read, {"at": at}).first()
    return None if row is None else entry(*row)


def read_and_slide(dialect: Dialect, at: bytes, connection: Connection) -> CacheEntry | None:
    """Read an entry and slide its expiry if that is due: what is not due writes nothing and waits for no writer."""
    if dialect.read_sliding is not None:
        row = connection.execute(dialect.read_sliding, {"at": at}).first()
        return None if row is None else entry(*row)
    if dialect.expects_slide and dialect.slide_returning is not None:
        row = connection.execute(dialect.slide_returning, {"at": at}).first()
        dialect.commit(connection)
        if row is not None:
            return entry(*row)
    return _read_then_slide(dialect, at, connection)


def _read_then_slide(dialect: Dialect, at: bytes, connection: Connection) -> CacheEntry | None:
    row = connection.execute(dialect.read_due, {"at": at}).first()
    if row is None:
        return None
    dialect.expects_slide = bool(row.due) and row.refresh_interval == 0
    if row.due:
        write(dialect, dialect.slide, {"at": at}, connection)
    return _entry(row, slid=bool(row.due))


def read_many(dialect: Dialect, reads: Sequence[Read], connection: Connection) -> list[CacheEntry | CacheError | None]:
    """Read entries together, and slide those that are to slide and due; each fails alone if that fails."""
    rows = {bytes(row.key): row for row in connection.execute(dialect.read_many, _among(read.at for read in reads))}
    sliding = {read.at for read in reads if read.slides and read.at in rows and rows[read.at].due}
    failures = _slide_many(dialect, sliding, connection) if sliding else {}
    slid = sliding - failures.keys()
    entries = {at: _entry(row, slid=at in slid) for at, row in rows.items()}
    return [
        failures[read.at].error() if read.slides and read.at in failures else entries.get(read.at) for read in reads
    ]


def _slide_many(dialect: Dialect, keys: Iterable[bytes], connection: Connection) -> dict[bytes, Failure]:
    """Slide entries that are due; tell which could not be slid, and why."""
    failure = _try_to_write(dialect, dialect.slide_many, _among(keys), connection)
    if failure is None:
        return {}
    if failure.kind is not Kind.CONFLICT:
        return dict.fromkeys(keys, failure)
    # Perhaps for the sake of one of them.
    outcomes = {at: _slide_alone(dialect, at, connection) for at in keys}
    return {at: failure for at, failure in outcomes.items() if failure is not None}


def _slide_alone(dialect: Dialect, at: bytes, connection: Connection) -> Failure | None:
    for _ in range(ATTEMPTS):
        failure = _try_to_write(dialect, dialect.slide, {"at": at}, connection)
        if failure is None or failure.kind is not Kind.CONFLICT:
            break
    return failure


def _try_to_write(
    dialect: Dialect, statement: Executable, parameters: Parameters, connection: Connection
) -> Failure | None:
    """Run a statement that writes, and commit; tell why that failed, but raise if the connection broke."""
    try:
        write(dialect, statement, parameters, connection)
    except Exception as error:
        failure = Failure(error)
        if failure.kind is Kind.LOST:
            raise
        connection.rollback()
        return failure
    return None


def _among(keys: Iterable[bytes]) -> Parameters:
    return {"keys": _filled_up(sorted(set(keys)))}


def _filled_up(several: Sequence[T]) -> list[T]:
    # A database understands a statement once and knows it again, but only with the same number of parameters. So there
    # are two, four, eight and so on: the last one stands in for those that are missing.
    missing = 2 ** (len(several) - 1).bit_length() - len(several)
    return [*several, *several[-1:] * missing]


def _entry(row: Row[Any], *, slid: bool) -> CacheEntry:
    """The entry in a row of ``read_due`` or ``read_many``, as it is after it ``slid``."""
    return entry(row.value, row.version, row.renewed if slid else row.expires, row.now if slid else row.refreshed)


def slide(dialect: Dialect, at: bytes, connection: Connection) -> bool:
    """Slide the expiry of an entry if that is due, and say whether the entry exists."""
    return write(dialect, dialect.slide, {"at": at}, connection) > 0 or _is_live(dialect, at, connection) is True


def write(dialect: Dialect, statement: Executable, parameters: Parameters, connection: Connection) -> int:
    """Run a statement that writes, and commit; return how many rows it met."""
    rows = connection.execute(statement, parameters).rowcount
    dialect.commit(connection)
    return rows


def replace_many(dialect: Dialect, rows: Sequence[Parameters], connection: Connection) -> set[bytes]:
    """Replace rows of known versions together, and return the keys of those that were.

    Why others were not is for each of them to find out alone; and so it is with all when certainly nothing was applied,
    perhaps for the sake of one.
    """
    assert dialect.replace_many is not None
    # The smallest comes last, and stands in.
    together = _filled_up(sorted(rows, key=lambda row: len(row["data"]), reverse=True))
    parameters = {f"{name}{number}": row[name] for number, row in enumerate(together) for name in GIVEN}
    try:
        met = {bytes(key) for key in connection.execute(dialect.replace_many(len(together)), parameters).scalars()}
        dialect.commit(connection)
    except Exception as error:
        if Failure(error).kind not in (Kind.CONFLICT, Kind.OTHER):
            raise
        connection.rollback()
        return set()
    return met


def add(dialect: Dialect, parameters: Parameters, connection: Connection) -> int:
    """Insert a row unless a live one exists; return how many rows were written."""
    if dialect.add_takes_over:
        return write(dialect, dialect.add, parameters, connection)
    for _ in range(ATTEMPTS):
        try:
            return write(dialect, dialect.add, parameters, connection)
        except IntegrityError as error:
            taken = error
        # The end of a transaction gives back the lock of the failed INSERT, and the next look its own snapshot.
        connection.rollback()
        is_live = _is_live(dialect, parameters["at"], connection)
        connection.rollback()
        if is_live:
            return 0
        if is_live is False and write(dialect, dialect.take_over, parameters, connection):
            return 1
        # The row has gone meanwhile, or somebody else took it over.
    raise taken


def find(dialect: Dialect, label: bytes, after: bytes, connection: Connection) -> list[tuple[str, CacheEntry]]:
    """Read a page of the entries of a tag, in the order of their keys."""
    rows = connection.execute(dialect.find, {"label": label, "after": after})
    return [(decode_key(row.key, dialect), entry(row.value, row.version, row.expires, row.refreshed)) for row in rows]


def tell_time(dialect: Dialect, connection: Connection) -> int:
    """The server's time, in microseconds since 1970."""
    return int(connection.execute(dialect.tell_time).scalar_one())


def _is_live(dialect: Dialect, at: bytes, connection: Connection) -> bool | None:
    """Whether the entry is live, or expired; ``None`` when there is no row."""
    flag = connection.execute(dialect.tell_live, {"at": at}).scalar()
    return None if flag is None else bool(flag)
