"""Real servers for tests: one's own by environment variable, else from a wheel, else skipped with the reason."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import pytest

from tornado_session.testing.servers.process import ServerMissingError, ServerProcess

REQUIRE_SERVICES = "TORNADO_SESSION_REQUIRE_SERVICES"

Service = TypeVar("Service")


def require(make: Callable[[], Service]) -> Service:
    """Return what ``make()`` returns, a running server for instance.

    Where it cannot be had the test is skipped with the reason, or fails when TORNADO_SESSION_REQUIRE_SERVICES is 1.
    """
    try:
        return make()
    except (ServerMissingError, ImportError, OSError) as error:
        unavailable(f"{type(error).__name__}: {error}")


@contextmanager
def service_url(variable: str, make: Callable[[], ServerProcess]) -> Iterator[str]:
    """Yield the URL in the environment variable, or that of a server made by ``make`` and running meanwhile.

    .. code-block:: python

        @pytest.fixture(scope="module")
        def redis_url() -> Iterator[str]:
            with service_url("REDIS_URL", RedisServer) as url:
                yield url
    """
    own = os.environ.get(variable)
    if own:
        yield own
        return
    server = require(lambda: _started(make))
    try:
        yield server.url
    finally:
        server.close()


def unavailable(reason: str) -> NoReturn:
    """Skip the test with the reason, or fail it where services are required."""
    if os.environ.get(REQUIRE_SERVICES) == "1":
        pytest.fail(f"{REQUIRE_SERVICES}=1, but {reason}", pytrace=False)
    pytest.skip(reason)


def _started(make: Callable[[], ServerProcess]) -> ServerProcess:
    server = make()
    try:
        server.start()
    except BaseException:
        server.close()
        raise
    return server
