"""create_cache_engine: an engine on which every statement of SQLCache is one trip."""

import asyncio
import re
from sqlite3 import OperationalError
from typing import Any, Final

import sqlalchemy
from sqlalchemy import URL, AsyncAdaptedQueuePool, event, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

_CAN_SKIP_ROLLBACK: Final = tuple(map(int, re.findall(r"\d+", sqlalchemy.__version__)[:3])) >= (2, 0, 43)
_PAUSES: Final = (0.01, 0.02, 0.04, 0.08, None)
"""Seconds after which the mode of an SQLite file is asked for once more."""


def create_cache_engine(url: str | URL, **options: Any) -> AsyncEngine:
    """Make an engine for SQLCache: ``create_async_engine`` with defaults that spare it trips.

    SQLCache works on every engine; on one that is made for transactions, MariaDB and MySQL are also sent COMMIT and
    ROLLBACK, and SQLite's thread is woken for them. Here every statement commits by itself, so this engine is for the
    cache and not for an application's own tables.

    A SQLite file is put into WAL mode, where readers and the one writer do not wait for each other, with ``synchronous
    = NORMAL``: nothing is lost when processes die, the last moments may be when the machine does.

    ``url`` and ``options`` as for ``create_async_engine``; the options win over these defaults.
    """
    url = make_url(url)
    defaults: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None}
    if _CAN_SKIP_ROLLBACK:
        defaults["skip_autocommit_rollback"] = True
    if url.get_driver_name() == "asyncmy":
        # Without it, MySQL takes binary parameters for text and asyncmy logs a warning for each that is none.
        defaults["connect_args"] = {"binary_prefix": True}
    is_sqlite = url.get_backend_name() == "sqlite"
    if is_sqlite and url.database not in (None, "", ":memory:"):
        # The default of SQLAlchemy before 2.0.38 opens a connection, which is a thread, for every call.
        defaults["poolclass"] = AsyncAdaptedQueuePool
    engine = create_async_engine(url, **(defaults | options))
    if is_sqlite:
        event.listen(engine.sync_engine, "connect", _tune_sqlite)
    return engine


def _tune_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pause in _PAUSES:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
        except OperationalError as error:
            # Of several processes that are the first to open a file, one changes its mode; SQLite tells the others at
            # once, whatever their time limit.
            if pause is None or error.sqlite_errorname != "SQLITE_BUSY":
                raise
            connection.run_async(lambda _, pause=pause: asyncio.sleep(pause))
        else:
            break
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.close()
