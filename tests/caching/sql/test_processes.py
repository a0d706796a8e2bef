"""Several processes on one table: no write is lost, and any of them may be the first."""

import asyncio

from tests.caching.sql.databases import Database, asynchronous, on_every_database
from tests.caching.sql.worker import count_up, in_processes, use_first
from tornado_session.caching.sql import create_cache_engine


@on_every_database
@asynchronous
async def test_two_processes_lose_none_of_each_others_writes(database: Database) -> None:
    times = 60

    codes = in_processes(2, count_up, database.url, database.table, ["count"], times)

    assert codes == [0, 0]
    entry = await database.cache(create_cache_engine).get("count")
    assert entry is not None
    assert int(entry.value) == 2 * times


@on_every_database
@asynchronous
async def test_processes_whose_writes_share_statements_make_each_of_them_once(database: Database) -> None:
    # Of each key two tasks in each process are in each other's way, and so are the processes.
    keys, times = [f"count{number}" for number in range(8)], 15

    codes = in_processes(2, count_up, database.url, database.table, keys * 2, times)

    assert codes == [0, 0]
    cache = database.cache(create_cache_engine)
    counted = await asyncio.gather(*map(cache.get, keys))
    assert [int(entry.value) for entry in counted if entry] == [4 * times] * len(keys)


@on_every_database
@asynchronous
async def test_several_processes_may_be_the_first_at_once(database: Database) -> None:
    codes = in_processes(4, use_first, database.url, database.table)

    assert codes == [0, 0, 0, 0]
    indexes = {
        "sqlite": "SELECT name FROM sqlite_master WHERE type = 'index' AND tbl_name = '{table}' AND sql IS NOT NULL",
        "postgresql": "SELECT indexname FROM pg_indexes WHERE tablename = '{table}' AND indexname NOT LIKE '%_pkey'",
        "mysql": "SELECT DISTINCT index_name FROM information_schema.statistics "
        "WHERE table_name = '{table}' AND index_name <> 'PRIMARY'",
    }
    found = await database.execute(indexes[database.kind.scheme.partition("+")[0]])
    assert {name for (name,) in found} == {f"{database.table}_expires", f"{database.table}_tag"}
