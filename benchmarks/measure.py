"""One contender, measured once: CPU per request of each route, and of the bare route beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean, median

from benchmarks.contenders import CARRIED, Contender
from benchmarks.load import Order, Outcome, ask, start_sessions
from benchmarks.process import ContenderServer, LoadProcess, cpu_seconds
from benchmarks.stores import Store


@dataclass(frozen=True, slots=True)
class Extent:
    """How much is measured: ``blocks`` of each route, in each of ``rounds``.

    A block ends after ``count`` requests or ``seconds``, whatever comes first.
    """

    count: int
    seconds: float
    blocks: int
    rounds: int
    sessions: int = 64
    """How many visitors take turns."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one round found out about one route. Microseconds per request."""

    over_bare: float
    bare: float
    requests_per_second: float
    p50: float
    p99: float
    bare_p50: float
    trips: float | None
    store_cpu: float | None


@dataclass(frozen=True, slots=True)
class _Block:
    cpu: float
    outcome: Outcome
    trips: float | None
    store_cpu: float | None


def measure(contender: Contender, store: Store, load: LoadProcess, extent: Extent) -> dict[tuple[str, int], Sample]:
    """Start a contender's server and measure its routes, by route and number of connections.

    Each block of a route stands between two blocks of the bare route, so that a machine which gets slower meanwhile
    does so for both.
    """
    with contender.server(store.url) as server:
        try:
            return _samples(contender, store, load, extent, server)
        except Exception as error:
            error.add_note(server.errors())
            raise


def _samples(
    contender: Contender, store: Store, load: LoadProcess, extent: Extent, server: ContenderServer
) -> dict[tuple[str, int], Sample]:
    cookies = _cookies(contender, server.port, extent.sessions)
    _prove(server.port, cookies["read"][0])

    def block(route: str, number: int, count: int = extent.count) -> _Block:
        path = "/bare" if route == CARRIED else f"/{route}"
        order = Order(server.port, path, number, count, extent.seconds, cookies.get(route, ()))
        return _block(order, store, load, server.process_id)

    samples = {}
    for number, route in _turns(contender):
        block("bare", number, contender.warm_up)
        block(route, number, contender.warm_up)
        bare, blocks = [block("bare", number)], []
        for _ in range(extent.blocks):
            blocks.append(block(route, number))
            bare.append(block("bare", number))
        samples[route, number] = _sample(blocks, bare)
    return samples


def _turns(contender: Contender) -> list[tuple[int, str]]:
    # Without a session no store is asked, so how many requests ask at a time tells nothing new.
    return [
        (number, route)
        for number in contender.connections
        for route in contender.routes
        if number == contender.connections[0] or route != "none"
    ]


def _cookies(contender: Contender, port: int, number: int) -> dict[str, list[str]]:
    sessions = start_sessions(port, "/start", number)
    cookies = {"read": sessions, "written": sessions, CARRIED: sessions}
    if "temp_read" in contender.routes:
        cookies["temp_read"] = start_sessions(port, "/temp_set", 1)
    return cookies


def _prove(port: int, cookie: str) -> None:
    """See that the session is kept: a contender that loses it would be the fastest of all."""
    asked = [ask(port, path, cookie) for path in ("/read", "/written", "/written", "/read")]
    first = int(asked[0])
    if [int(answer) for answer in asked] != [first, first + 1, first + 2, first + 2]:
        raise RuntimeError(f"the session is not kept: {asked}")


def _block(order: Order, store: Store, load: LoadProcess, process_id: int) -> _Block:
    load.prepare(order)
    trips, store_cpu, cpu = store.trips(), store.cpu(), cpu_seconds(process_id)
    outcome = load.make()
    used, store_used, trips_now = cpu_seconds(process_id) - cpu, store.cpu(), store.trips()
    if outcome.failures:
        raise RuntimeError(
            f"{order.path}: {len(outcome.failures)} of {outcome.count} answers are {outcome.failures[0]}"
        )
    return _Block(
        used / outcome.count * 1e6,
        outcome,
        None if trips is None or trips_now is None else (trips_now - trips) / outcome.count,
        None if store_cpu is None or store_used is None else (store_used - store_cpu) / outcome.count * 1e6,
    )


def _sample(blocks: Sequence[_Block], bare: Sequence[_Block]) -> Sample:
    beside = [(before.cpu + after.cpu) / 2 for before, after in pairwise(bare)]
    return Sample(
        # The median, for on a machine that is busy otherwise a block now and then costs many times as much.
        over_bare=median(block.cpu - neighbours for block, neighbours in zip(blocks, beside, strict=True)),
        bare=median(beside),
        requests_per_second=sum(b.outcome.count for b in blocks) / sum(b.outcome.seconds for b in blocks),
        p50=median(block.outcome.p50 for block in blocks) * 1e6,
        p99=median(block.outcome.p99 for block in blocks) * 1e6,
        bare_p50=median(block.outcome.p50 for block in bare) * 1e6,
        trips=_mean([block.trips for block in blocks]),
        store_cpu=_mean([block.store_cpu for block in blocks]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
