"""The distributed cache, used directly: state that all visitors share."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import perf_counter

from demos.tour.page import Page
from tornado_session import CacheEntryOptions


class Cache(Page):
    """A report that takes a second to make, kept for fifteen, whoever asks."""

    slug = "cache"
    key = "tour: report"
    lifetime = CacheEntryOptions(relative=timedelta(seconds=15))

    async def get(self) -> None:
        began = perf_counter()
        entry = await self.cache.get(self.key)
        was_kept = entry is not None
        if entry is None:
            report = await self.make_report()
            await self.cache.set(self.key, report, self.lifetime)
            entry = await self.cache.get(self.key)
        seconds = perf_counter() - began
        self.show(entry=entry, was_kept=was_kept, seconds=seconds, now=datetime.now(UTC))

    async def make_report(self) -> bytes:
        await asyncio.sleep(1)
        return f"Made at {datetime.now(UTC):%H:%M:%S} UTC for all visitors".encode()

    async def post(self) -> None:
        await self.cache.remove(self.key)
        self.redirect("/cache")
