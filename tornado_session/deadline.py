"""within(): the longest wait for the cache."""

import asyncio
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, TypeVar

from tornado_session.errors import CacheTimeoutError

T = TypeVar("T")


async def within(limit: timedelta | None, coroutine: Coroutine[Any, Any, T]) -> T:
    """Await ``coroutine`` for at most ``limit``; raises ``CacheTimeoutError`` when that is over."""
    if limit is None:
        return await coroutine
    try:
        async with asyncio.timeout(limit.total_seconds()):
            return await coroutine
    except TimeoutError:
        raise CacheTimeoutError(f"the cache did not answer within {limit} (SessionOptions.io_timeout)") from None
