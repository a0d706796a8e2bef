"""The table that SQLCache keeps its entries in."""

import re
from typing import Final

from sqlalchemy import VARBINARY, BigInteger, Column, Index, LargeBinary, MetaData, Table
from sqlalchemy.dialects import mssql, mysql

from tornado_session.caching.contract import MAX_KEY_SIZE
from tornado_session.errors import ConfigurationError

MAX_NAME_SIZE: Final = 48
"""The longest name of a table, in characters: those of its indexes are longer and have to fit 63."""

# One byte more than the longest key, for the terminator that SQL Server needs.
_KEY = VARBINARY(MAX_KEY_SIZE + 1)


def define_table(name: str) -> Table:
    """Define the table ``name``; raise ``ConfigurationError`` for a name that no database would take.

    Keys and tags are bytes, because a database compares text by a collation, where case, accents and blanks at the end
    may not count. Instants and durations are whole microseconds, instants since 1970 by the server's clock: no time
    zones, no rounding.

    .. code-block:: text

        key               the key in UTF-8
        value             opaque
        version           a random number, fresh with every write
        expires           when the entry ends; NULL: never
        sliding           how long it may lie unread; NULL: as long as it likes
        fixed_end         the end that no reading moves; NULL: none
        refresh_interval  how long after ``refreshed`` a reading moves ``expires`` again
        refreshed         when ``expires`` was last written
        tag               the tag in UTF-8, or NULL
    """
    _check_name(name)
    table = Table(
        name,
        MetaData(),
        Column("key", _key_type(), primary_key=True),
        Column("value", _value_type(), nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("expires", BigInteger),
        Column("sliding", BigInteger),
        Column("fixed_end", BigInteger),
        Column("refresh_interval", BigInteger, nullable=False),
        Column("refreshed", BigInteger, nullable=False),
        Column("tag", _key_type()),
        mysql_engine="InnoDB",
        mariadb_engine="InnoDB",
    )
    Index(f"{name}_expires", table.c.expires)
    # With the key behind the tag a page of one tag is read in order, without sorting.
    tagged = table.c.tag.is_not(None)
    Index(f"{name}_tag", table.c.tag, table.c.key, postgresql_where=tagged, sqlite_where=tagged, mssql_where=tagged)
    return table


def _key_type() -> LargeBinary:
    return LargeBinary().with_variant(_KEY, "mysql", "mariadb", "mssql")


def _value_type() -> LargeBinary:
    # 64 KiB is all that a BLOB of MySQL takes.
    unlimited = mssql.VARBINARY("max")  # type: ignore[no-untyped-call]
    return LargeBinary().with_variant(mysql.LONGBLOB(), "mysql", "mariadb").with_variant(unlimited, "mssql")


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
        raise ConfigurationError(f"table must be a name of ASCII letters, digits and underscores, not {name!r}")
    if len(name) > MAX_NAME_SIZE:
        raise ConfigurationError(f"table must have at most {MAX_NAME_SIZE} characters, but has {len(name)}: {name!r}")
