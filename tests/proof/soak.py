"""Soak: as many requests as go in, for minutes, and whether anything grows, fails or stands still."""

import asyncio
import random
import time
from collections import Counter
from contextlib import nullcontext
from typing import Any

from tests.proof.client import Client
from tests.proof.faults import SERVERS, started
from tests.proof.processes import Processes
from tests.proof.recorder import Recorder
from tests.proof.report import Report, slope
from tests.proof.visitor import Visitor

CACHES = ("memory", "mongodb", "redis")
CLIENTS = 32
_SAMPLES = 24
_MOST_BYTES_PER_REQUEST = 64.0
_LONGEST_STALL = 0.25
_PATIENCE = 10.0
"""Seconds that a request waits for the cache: on a saturated machine a late answer is no fault, and is reported."""
_OF_DRIVERS = ("PyMongoProtocol.", "AsyncPeriodicExecutor.")
"""Tasks of PyMongo: one that reads for each connection of its pool, and those that watch the servers."""
_LONG_ENOUGH = 100.0
"""Seconds: a shorter run sees the interpreter warm up and nothing else."""


def main(seed: int, minutes: float, only: str = "", *, apart: bool = False) -> Report:
    """Each cache for ``minutes``, all at the same time or one after the other; ``only`` those with this in their names.

    The machine is saturated either way; together, each cache gets a share of it.
    """
    kinds = [kind for kind in CACHES if only in kind]
    how = "one after the other" if apart else "at the same time"
    report = Report(f"soak, {minutes:g} minutes each, {how}, seed {seed}")
    for found in asyncio.run(_all(kinds, seed, minutes * 60, apart=apart)):
        report.extend(found)
    return report


async def _all(kinds: list[str], seed: int, seconds: float, *, apart: bool) -> list[Report]:
    if apart:
        return [await soak(kind, seed, seconds) for kind in kinds]
    return await asyncio.gather(*(soak(kind, seed, seconds) for kind in kinds))


async def soak(kind: str, seed: int, seconds: float, clients: int = CLIENTS) -> Report:
    """Load one process on one cache for ``seconds``."""
    report = Report(kind)
    async with (
        nullcontext() if kind == "memory" else started(SERVERS[kind]()) as server,
        Processes(1, kind, server.url if server else "", _PATIENCE) as site,
    ):
        await _loaded(report, site.ports[0], seed, seconds, clients)
    return report


async def _loaded(report: Report, port: int, seed: int, seconds: float, clients: int) -> None:
    recorder, stop, keeper = Recorder(), asyncio.Event(), Visitor("keeper")
    # The driver's own tasks begin with the first command, and stay.
    await keeper.post(port, "/sign-in?client=keeper")
    await keeper.post(port, "/sign-out")
    await asyncio.sleep(1)
    idle = (await keeper.get(port, "/state")).json
    crowd = [Client(f"c{n}", [port], recorder, random.Random(f"{seed} {n}")) for n in range(clients)]
    work = [asyncio.ensure_future(client.run(stop, pause=0)) for client in crowd]
    samples: list[tuple[int, dict[str, Any]]] = []
    begun = time.monotonic()
    for _ in range(_SAMPLES):
        await asyncio.sleep(seconds / _SAMPLES)
        samples.append((recorder.statuses.total(), (await keeper.get(port, "/state")).json))
    took = time.monotonic() - begun
    requests = recorder.statuses.total()
    stop.set()
    await asyncio.gather(*work)
    await asyncio.gather(*(client.finish() for client in crowd))
    del recorder.ended[:-2000]
    await recorder.check_ended(port)
    await asyncio.sleep(1)
    after = (await keeper.get(port, "/state")).json
    keeper.close()
    report.figure("requests", f"{requests} in {took:.0f} s, {requests / took:.0f} a second")
    report.figure("longest wait for an answer", f"{recorder.slowest:.2f} s")
    _judge(report, samples, idle, after, took)
    recorder.judge(report)


def _judge(
    report: Report, samples: list[tuple[int, dict[str, Any]]], idle: dict[str, Any], after: dict[str, Any], took: float
) -> None:
    warm = samples[len(samples) // 3 :]
    growth = slope([(number, state["resident"]) for number, state in warm])
    objects = slope([(number, state["objects"]) for number, state in warm])
    figure = f"{growth:.1f} bytes and {objects:.4f} objects a request; {after['resident'] / 2**20:.0f} MiB at the end"
    if took >= _LONG_ENOUGH:
        report.promise("memory is flat", growth < _MOST_BYTES_PER_REQUEST, figure)
    else:
        report.figure("memory (too short a run for a promise)", figure)
    left = Counter(task for task in after["tasks"] if not task.startswith(_OF_DRIVERS)) - Counter(idle["tasks"])
    report.promise("no task is left", not left, dict(left) or f"{len(after['tasks'])} with the driver's own")
    opened = after["descriptors"] - idle["descriptors"]
    # A store's driver keeps its pool; what clients opened is closed.
    report.promise("no socket is left but the pool's", opened <= 100, f"{opened} more descriptors than before")
    levels = [state["descriptors"] for _, state in warm]
    report.promise(
        "descriptors are flat", max(levels) - min(levels) <= 40, f"{min(levels)} to {max(levels)} under load"
    )
    errors = after["errors"]
    report.promise("nothing logged as an error, nothing never retrieved", not errors, errors or "")
    stall = max(state["longest_stall"] for _, state in samples)
    stalls = sum(state["stalls"] for _, state in samples)
    report.promise(
        f"the loop never works longer than {_LONGEST_STALL} s at a stretch",
        stall < _LONGEST_STALL,
        f"{stall * 1000:.0f} ms of processor time at the most (garbage collection included), {stalls} over 100 ms",
    )
