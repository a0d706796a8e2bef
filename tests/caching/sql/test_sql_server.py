"""The statements for SQL Server, as text: they were compiled for its dialect, and never run on a server of its kind."""

from typing import Any

from sqlalchemy.dialects import mssql
from sqlalchemy.schema import CreateIndex, CreateTable

from tornado_session.caching.sql.rows import decode_key, encode_key
from tornado_session.caching.sql.sqlserver import SQLServer
from tornado_session.caching.sql.table import define_table

TABLE = define_table("sessions")
SQL_SERVER = SQLServer(TABLE, has_returning=True)

LIVE = "(sessions.expires IS NULL OR sessions.expires > NOW)"
NEW_ROW = (
    "SELECT CAST(:at AS VARBINARY(513)) AS [key], CAST(:data AS VARBINARY(max)) AS value, "
    "CAST(:fresh AS BIGINT) AS version, "
    "CASE WHEN (CAST(:until AS BIGINT) < NOW + CAST(:lifetime AS BIGINT)) THEN CAST(:until AS BIGINT) "
    "ELSE coalesce(NOW + CAST(:lifetime AS BIGINT), CAST(:until AS BIGINT)) END AS expires, "
    "CAST(:idle AS BIGINT) AS sliding, "
    "CASE WHEN (CAST(:until AS BIGINT) < NOW + CAST(:longest AS BIGINT)) THEN CAST(:until AS BIGINT) "
    "ELSE coalesce(NOW + CAST(:longest AS BIGINT), CAST(:until AS BIGINT)) END AS fixed_end, "
    "CAST(:interval AS BIGINT) AS refresh_interval, NOW AS refreshed, CAST(:label AS VARBINARY(513)) AS tag "
    "WHERE CAST(:until AS BIGINT) IS NULL OR CAST(:until AS BIGINT) > NOW"
)
UPDATED = (
    "value = new.value, version = new.version, expires = new.expires, sliding = new.sliding, "
    "fixed_end = new.fixed_end, refresh_interval = new.refresh_interval, refreshed = new.refreshed, tag = new.tag"
)
INSERTED = (
    "([key], value, version, expires, sliding, fixed_end, refresh_interval, refreshed, tag) VALUES (new.[key], "
    "new.value, new.version, new.expires, new.sliding, new.fixed_end, new.refresh_interval, new.refreshed, new.tag)"
)


def spell(statement: Any) -> str:
    """The statement as text, with NOW for the clock."""
    dialect = mssql.dialect(paramstyle="named")
    spelt = statement.compile(dialect=dialect)
    return " ".join(str(spelt).split()).replace(SQL_SERVER.clock, "NOW")


def test_set_is_one_merge_under_a_lock_on_the_key() -> None:
    assert spell(SQL_SERVER.set) == (
        f"MERGE INTO sessions WITH (HOLDLOCK) AS kept USING ({NEW_ROW}) AS new ON kept.[key] = new.[key] "
        f"WHEN MATCHED THEN UPDATE SET {UPDATED} WHEN NOT MATCHED THEN INSERT {INSERTED};"
    )


def test_add_is_one_merge_that_updates_only_what_has_expired() -> None:
    assert spell(SQL_SERVER.add) == (
        f"MERGE INTO sessions WITH (HOLDLOCK) AS kept USING ({NEW_ROW}) AS new ON kept.[key] = new.[key] "
        f"WHEN MATCHED AND kept.expires <= NOW THEN UPDATE SET {UPDATED} WHEN NOT MATCHED THEN INSERT {INSERTED};"
    )


def test_a_reading_that_slides_is_one_update_with_an_output() -> None:
    assert spell(SQL_SERVER.slide_returning) == (
        "UPDATE sessions SET expires=CASE WHEN (sessions.fixed_end < NOW + sessions.sliding + "
        "sessions.refresh_interval) THEN sessions.fixed_end ELSE coalesce(NOW + sessions.sliding + "
        "sessions.refresh_interval, sessions.fixed_end) END, refreshed=NOW "
        "OUTPUT inserted.value, inserted.version, inserted.expires, inserted.refreshed "
        "WHERE sessions.sliding IS NOT NULL AND sessions.refreshed + sessions.refresh_interval <= NOW "
        f"AND sessions.[key] = CAST(:at AS VARBINARY(513)) AND {LIVE}"
    )


def test_remove_find_and_sweep_look_up_their_index() -> None:
    assert spell(SQL_SERVER.remove) == (
        f"DELETE FROM sessions WHERE sessions.[key] = CAST(:at AS VARBINARY(513)) AND {LIVE}"
    )
    assert spell(SQL_SERVER.find) == (
        "SELECT TOP __[POSTCOMPILE_param_1] sessions.[key], sessions.value, sessions.version, sessions.expires, "
        "sessions.refreshed FROM sessions WHERE sessions.tag = CAST(:label AS VARBINARY(513)) "
        f"AND sessions.[key] > CAST(:after AS VARBINARY(513)) AND {LIVE} ORDER BY sessions.[key]"
    )
    assert spell(SQL_SERVER.sweep) == (
        "DELETE FROM sessions WHERE sessions.[key] IN (SELECT TOP __[POSTCOMPILE_param_1] sessions.[key] "
        "FROM sessions WHERE sessions.expires <= NOW ORDER BY sessions.expires)"
    )


def test_the_table_has_an_index_on_the_expiry_and_one_on_the_tag() -> None:
    assert spell(CreateTable(TABLE)) == (
        "CREATE TABLE sessions ( [key] VARBINARY(513) NOT NULL, value VARBINARY(max) NOT NULL, "
        "version BIGINT NOT NULL, expires BIGINT NULL, sliding BIGINT NULL, fixed_end BIGINT NULL, "
        "refresh_interval BIGINT NOT NULL, refreshed BIGINT NOT NULL, tag VARBINARY(513) NULL, PRIMARY KEY ([key]) )"
    )
    assert sorted(spell(CreateIndex(index)) for index in TABLE.indexes) == [
        "CREATE INDEX sessions_expires ON sessions (expires)",
        "CREATE INDEX sessions_tag ON sessions (tag, [key]) WHERE tag IS NOT NULL",
    ]


def test_keys_end_with_a_byte_that_is_not_nul_because_sql_server_overlooks_nuls_at_the_end() -> None:
    keys = ["key", "key\x00", "key\x00\x00"]

    columns = [encode_key(key, SQL_SERVER) for key in keys]

    assert len({column.rstrip(b"\x00") for column in columns}) == 3
    assert [decode_key(column, SQL_SERVER) for column in columns] == keys
