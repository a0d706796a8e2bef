"""Databases for the tests of SQLCache, and a line at the end about what they ran on."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.caching.sql.databases import Database, check_driver, ran, url_of
from tests.services import service_url
from tornado_session.testing.servers.mariadb import MariaDBServer
from tornado_session.testing.servers.postgresql import PostgresServer
from tornado_session.testing.servers.process import ServerMissingError


@pytest.fixture(scope="session")
def postgresql_url() -> Iterator[str]:
    with service_url("POSTGRES_URL", PostgresServer) as url:
        yield url


@pytest.fixture(scope="session")
def mysql_url() -> Iterator[str]:
    with service_url("MARIADB_URL", mariadb) as url:
        yield url


@pytest.fixture
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Database:
    """A database of the kind that ``on(...)`` names, with a table of the test's own."""
    kind = request.param
    check_driver(kind)
    server = None if kind.scheme.startswith("sqlite") else f"{kind.scheme.partition('+')[0]}_url"
    return Database(kind, url_of(kind, server and request.getfixturevalue(server), tmp_path))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say what SQLCache was tested on."""
    for name, version in sorted(ran.items()):
        terminalreporter.write_line(f"SQLCache ran on {name}, version {version}")


def mariadb() -> MariaDBServer:
    # No wheel brings MariaDB: where it is not installed the tests are skipped even if services are required.
    server = MariaDBServer()
    try:
        server.command()
    except ServerMissingError as error:
        server.close()
        pytest.skip(str(error))
    return server
