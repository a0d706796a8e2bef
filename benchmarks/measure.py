"""Contenders, measured once, side by side: CPU per request of each route, and of the bare route beside it."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
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


Found = dict[tuple[str, int], Sample]
"""What was found out about a contender, by route and number of connections."""


def measure(contender: Contender, store: Store, load: LoadProcess, extent: Extent) -> Found:
    """Measure one contender by itself; raises what keeps it from running."""
    found = measure_side_by_side([contender], store, load, extent)[contender]
    if isinstance(found, Exception):
        raise found
    return found


def measure_side_by_side(
    contenders: Sequence[Contender], store: Store, load: LoadProcess, extent: Extent
) -> dict[Contender, Found | Exception]:
    """Start the contenders' servers and measure them in turn, block by block, so that a moment counts for all of them.

    Each block of a route stands between two blocks of the bare route, for the same reason.
    """
    found: dict[Contender, Found | Exception] = {}
    with ExitStack() as servers:
        running = []
        for contender in contenders:
            try:
                running.append(
                    _Running(contender, servers.enter_context(contender.server(store.url)), store, load, extent)
                )
            except Exception as error:  # noqa: BLE001 - one that does not run is no reason not to measure others
                found[contender] = error
        for turn in dict.fromkeys(turn for each in running for turn in _turns(each.contender)):
            _measure_turn(turn, [each for each in running if turn in _turns(each.contender)], extent, found)
            running = [each for each in running if each.contender not in found]
    return found | {each.contender: each.found for each in running}


def _measure_turn(
    turn: tuple[str, int], running: "Sequence[_Running]", extent: Extent, failed: dict[Contender, Found | Exception]
) -> None:
    for number in range(extent.blocks):
        for each in running:
            if each.contender in failed:
                continue
            try:
                each.visit(turn, warm_up=number == 0)
            except Exception as error:  # noqa: BLE001 - as above
                error.add_note(each.server.errors())
                failed[each.contender] = error


class _Running:
    """A contender whose server runs, and what was found out about it."""

    def __init__(
        self, contender: Contender, server: ContenderServer, store: Store, load: LoadProcess, extent: Extent
    ) -> None:
        self.contender = contender
        self.server = server
        self._store = store
        self._load = load
        self._extent = extent
        self._visits: dict[tuple[str, int], list[tuple[_Block, _Block, _Block]]] = {}
        self._cookies = _cookies(contender, server.port, extent.sessions)
        _prove(server.port, self._cookies["read"][0])

    def visit(self, turn: tuple[str, int], *, warm_up: bool) -> None:
        """Measure a route once."""
        route, connections = turn
        if warm_up:
            self._block("bare", connections, self.contender.warm_up)
            self._block(route, connections, self.contender.warm_up)
        count = self._extent.count
        visit = tuple(self._block(path, connections, count) for path in ("bare", route, "bare"))
        self._visits.setdefault(turn, []).append(visit)  # type: ignore[arg-type]

    @property
    def found(self) -> Found:
        return {turn: _sample(visits) for turn, visits in self._visits.items()}

    def _block(self, route: str, connections: int, count: int) -> _Block:
        path = "/bare" if route == CARRIED else f"/{route}"
        order = Order(self.server.port, path, connections, count, self._extent.seconds, self._cookies.get(route, ()))
        return _block(order, self._store, self._load, self.server.process_id)


def _turns(contender: Contender) -> list[tuple[str, int]]:
    # Without a session no store is asked, so how many requests ask at a time tells nothing new.
    return [
        (route, number)
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


def _sample(visits: "Sequence[tuple[_Block, _Block, _Block]]") -> Sample:
    blocks = [block for _, block, _ in visits]
    beside = [(before.cpu + after.cpu) / 2 for before, _, after in visits]
    return Sample(
        # The median, for on a machine that is busy otherwise a block now and then costs many times as much.
        over_bare=median(block.cpu - neighbours for block, neighbours in zip(blocks, beside, strict=True)),
        bare=median(beside),
        requests_per_second=sum(b.outcome.count for b in blocks) / sum(b.outcome.seconds for b in blocks),
        p50=median(block.outcome.p50 for block in blocks) * 1e6,
        p99=median(block.outcome.p99 for block in blocks) * 1e6,
        bare_p50=median(bare.outcome.p50 for before, _, after in visits for bare in (before, after)) * 1e6,
        trips=_mean([block.trips for block in blocks]),
        store_cpu=_mean([block.store_cpu for block in blocks]),
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if known else None
