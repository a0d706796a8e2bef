"""Several processes on one table: no write is lost, and any of them may be the first."""

from tests.caching.sql.databases import Database, asynchronous, on_every_database
from tests.caching.sql.worker import count_up, in_processes, use_first
from tornado_session.caching.sql import create_cache_engine


@on_every_database
@asynchronous
async def test_two_processes_lose_none_of_each_others_writes(database: Database) -> None:
    times = 60

    codes = in_processes(2, count_up, database.url, database.table, times)

    assert codes == [0, 0]
    entry = await database.cache(create_cache_engine).get("count")
    assert entry is not None
    assert int(entry.value) == 2 * times


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
