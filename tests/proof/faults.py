"""Faults: the store and the application are starved and killed while clients write; then it is seen what is left."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from urllib.parse import urlsplit

from tests.proof.client import Client
from tests.proof.crash import crash
from tests.proof.processes import Processes
from tests.proof.proxy import Fault, Proxy
from tests.proof.recorder import Recorder
from tests.proof.report import Report
from tests.proof.visitor import Visitor
from tornado_session.testing.servers.mongodb import MongoReplicaSet, MongoServer
from tornado_session.testing.servers.postgresql import PostgresServer
from tornado_session.testing.servers.process import ServerMissingError, ServerProcess
from tornado_session.testing.servers.redis import RedisServer

CLIENTS = 12
FAULTS: tuple[Fault, ...] = ("delay", "drop", "cut", "refuse")
SERVERS: dict[str, Callable[[], ServerProcess]] = {
    "mongodb": MongoServer,
    "redis": lambda: RedisServer(appendonly=True),
    "postgresql": PostgresServer,
}
EVERY_SECOND = timedelta(seconds=2)
"""What Redis may lose with ``appendfsync everysec``: while one fsync lasts it holds the next write back so long."""
_RECOVERS_WITHIN = 45.0
_HOUR = 3600


class Trial:
    """Clients at work while something happens."""

    def __init__(self, report: Report, site: Processes, seed: int, clients: int = CLIENTS) -> None:
        self.report = report
        self.site = site
        self.recorder = Recorder()
        self._stop = asyncio.Event()
        generators = [random.Random(f"{seed} {number}") for number in range(clients)]
        self._clients = [
            Client(f"c{number}", site.ports, self.recorder, generator) for number, generator in enumerate(generators)
        ]

    async def during(self, happening: Callable[[], Awaitable[None]], *, may_leave_unanswered: bool = False) -> None:
        """Let the clients work before, while and after ``happening``; then judge."""
        work = [asyncio.ensure_future(client.run(self._stop)) for client in self._clients]
        try:
            await asyncio.sleep(1)
            await happening()
            await self._recovery()
            await asyncio.sleep(1)
        finally:
            self._stop.set()
            await asyncio.gather(*work)
        await asyncio.gather(*(client.finish() for client in self._clients))
        await self.recorder.check_ended(self.site.ports[0])
        self.recorder.judge(self.report, may_leave_unanswered=may_leave_unanswered)

    async def _recovery(self) -> None:
        """Wait until every client has written again."""
        begun = time.monotonic()
        while any(client.last_write < begun for client in self._clients):
            if time.monotonic() - begun > _RECOVERS_WITHIN:
                self.report.promise("recovers", False, f"not within {_RECOVERS_WITHIN} s")
                return
            await asyncio.sleep(0.02)
        self.report.promise("recovers: every client writes again after", True, f"{time.monotonic() - begun:.1f} s")


async def behind_a_proxy(kind: str, seed: int, seconds: float = 2.0) -> Report:
    """Each fault of the proxy for a while."""
    report = Report(f"{kind} behind a faulty proxy")
    async with started(SERVERS[kind]()) as server, Proxy(server.port, seed) as proxy:
        url = server.url.replace(str(urlsplit(server.url).port), str(proxy.port))
        if kind == "mongodb":
            # Found by its own name, the server would be asked past the proxy.
            url = f"mongodb://127.0.0.1:{proxy.port}/?directConnection=true"
        async with Processes(1, kind, url) as site:

            async def happening() -> None:
                for fault in FAULTS:
                    await asyncio.sleep(0.5)
                    proxy.fault = fault
                    await asyncio.sleep(seconds)
                    proxy.fault = "none"
                    if fault != "delay":
                        # What waits for a swallowed answer would wait for its own time limit.
                        proxy.end_connections()

            await Trial(report, site, seed).during(happening)
        report.promise("the proxy did its worst", proxy.faults > 10, f"{proxy.faults} messages and connections")
    return report


async def kill_the_server(kind: str, seed: int, times: int = 2) -> Report:
    """SIGKILL of the server with all its children, and a restart from what it had handed to the operating system."""
    report = Report(f"{kind} killed and restarted")
    async with started(SERVERS[kind]()) as server, Processes(1, kind, server.url) as site:
        trial = Trial(report, site, seed)
        await trial.during(lambda: _crashes(trial, server, times))
    return report


async def kill_redis_with_everysec(seed: int, times: int = 2) -> Report:
    """The same with Redis that writes its log each second; what was acknowledged just before may be gone."""
    report = Report("redis, appendfsync everysec, killed and restarted")
    redis = RedisServer(appendonly=True, arguments=["--appendfsync", "everysec"])
    async with started(redis), Processes(1, "redis", redis.url) as site:
        setting = await asyncio.to_thread(redis.ask, "CONFIG", "GET", "appendfsync")
        report.promise("appendfsync is everysec", b"everysec" in setting)
        trial = Trial(report, site, seed)
        await trial.during(lambda: _crashes(trial, redis, times, may_lose=EVERY_SECOND))
    return report


async def _crashes(trial: "Trial", server: ServerProcess, times: int, *, may_lose: timedelta = timedelta(0)) -> None:
    killed = 0
    for _ in range(times):
        await asyncio.sleep(2)
        begun = time.monotonic()
        killed += await asyncio.to_thread(crash, server)
        if may_lose:
            # The last acknowledgements are noticed a moment after the kill.
            trial.recorder.excusable.append((begun - may_lose.total_seconds(), time.monotonic() + 0.5))
        await asyncio.sleep(1)
        await asyncio.to_thread(server.start)
    trial.report.figure("ended by SIGKILL", f"{killed} processes, in {times} times")


async def kill_the_primary(seed: int) -> Report:
    """SIGKILL of the primary of three members; it comes back as a follower."""
    report = Report("mongodb: primary of three killed")
    servers = MongoReplicaSet(members=3)
    try:
        await asyncio.to_thread(servers.start)
        async with Processes(1, "mongodb", servers.url) as site:

            async def happening() -> None:
                killed = await asyncio.to_thread(servers.kill_primary)
                await asyncio.sleep(4)
                await asyncio.to_thread(killed.start)

            await Trial(report, site, seed).during(happening)
    finally:
        await asyncio.to_thread(servers.close)
    return report


async def kill_a_process(seed: int, times: int = 2) -> Report:
    """SIGKILL of one of four application processes, and a new one in its place."""
    report = Report("one of four application processes killed")
    generator = random.Random(seed)
    async with started(SERVERS["redis"]()) as server, Processes(4, "redis", server.url) as site:

        async def happening() -> None:
            for _ in range(times):
                # Never the first, which is asked what is left.
                one = generator.choice(site.all[1:])
                one.kill()
                await asyncio.sleep(0.5)
                await one.start()

        # Who was connected to the killed process gets no answer from it.
        await Trial(report, site, seed).during(happening, may_leave_unanswered=True)
    return report


async def clock_jumps(seed: int) -> Report:
    """The application's clock an hour on, back, further back, and on again."""
    report = Report("clock jumps of an hour")
    async with Processes(1, "memory", "") as site:
        visitor = Visitor("clock")

        async def happening() -> None:
            for hours in (1, -1, -1, 1):
                await visitor.post(site.ports[0], f"/jump?seconds={hours * _HOUR}")
                await asyncio.sleep(0.7)

        await Trial(report, site, seed).during(happening)
        visitor.close()
    return report


def main(seed: int, only: str = "") -> Report:
    """All of them, one after the other; ``only`` those with this in their names."""
    trials: dict[str, Callable[[], Awaitable[Report]]] = {"clock": lambda: clock_jumps(seed)}
    for kind in SERVERS:
        trials[f"proxy {kind}"] = lambda kind=kind: behind_a_proxy(kind, seed)  # type: ignore[misc]
        trials[f"kill {kind}"] = lambda kind=kind: kill_the_server(kind, seed)  # type: ignore[misc]
    trials |= {"primary": lambda: kill_the_primary(seed), "process": lambda: kill_a_process(seed)}
    trials["kill redis everysec"] = lambda: kill_redis_with_everysec(seed)
    report = Report(f"faults, seed {seed}")
    for name, trial in trials.items():
        if only in name:
            report.extend(asyncio.run(_tried(name, trial)))
    return report


async def _tried(name: str, trial: Callable[[], Awaitable[Report]]) -> Report:
    try:
        report = await trial()
    except ServerMissingError as error:
        report = Report(name)
        report.figure("not tried", error)
    return report


@asynccontextmanager
async def started(server: ServerProcess) -> AsyncIterator[ServerProcess]:
    """Have the server run meanwhile."""
    try:
        await asyncio.to_thread(server.start)
        yield server
    finally:
        await asyncio.to_thread(server.close)
