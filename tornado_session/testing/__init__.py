"""For the tests of your application: time to turn by hand, a cache that fails on demand, a client with cookies."""

from tornado_session.testing.cache_contract import CacheContract
from tornado_session.testing.client import CookieClient
from tornado_session.testing.clock import FakeClock
from tornado_session.testing.faulty import FaultyCache

__all__ = ["CacheContract", "CookieClient", "FakeClock", "FaultyCache"]
