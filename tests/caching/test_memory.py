"""MemoryCache keeps the contract, its bounds, and the order in which entries go."""

from tornado_session.caching.contract import DistributedCache
from tornado_session.caching.memory import MemoryCache
from tornado_session.testing import CacheContract


class TestMemoryCache(CacheContract):
    async def make_cache(self) -> DistributedCache:
        return MemoryCache(clock=self.clock)
