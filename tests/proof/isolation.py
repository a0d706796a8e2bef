"""Isolation: many clients at once, each with its own tokens; and whether ids and keys are ever used twice."""

import asyncio
import random
from collections import Counter

from tests.proof.app import Watch, make_app
from tests.proof.client import Client
from tests.proof.recorder import Recorder
from tests.proof.report import Report
from tests.proof.wire import Wire
from tornado_session import MemoryCache, Sessions
from tornado_session.exchange import Exchange

KEY_SIZE = 32
_WIDEST_BIT = 5.5  # standard deviations; one of 256 bits lies beyond that once in a hundred thousand runs
_WIDEST_BYTE = 400.0  # chi-square with 255 degrees of freedom: six and more standard deviations


def main(seed: int, keys: int) -> Report:
    """Two hundred clients for a while, and ``keys`` keys."""
    report = Report(f"isolation, seed {seed}")
    asyncio.run(parallel_clients(report, seed, clients=200, seconds=20))
    asyncio.run(many_keys(report, keys))
    return report


async def parallel_clients(report: Report, seed: int, *, clients: int, seconds: float) -> None:
    """Sign in, write, renew keys and sign out in parallel; nobody sees what is another's."""
    recorder, stop = Recorder(), asyncio.Event()
    async with Wire(make_app(MemoryCache(), Watch())) as wire:
        crowd = [Client(f"c{n}", [wire.port], recorder, random.Random(f"{seed} {n}")) for n in range(clients)]
        asyncio.get_running_loop().call_later(seconds, stop.set)
        await asyncio.gather(*(client.run(stop, pause=0) for client in crowd))
        await asyncio.gather(*(client.finish() for client in crowd))
        await recorder.check_ended(wire.port)
    report.figure("clients, and ids that they were given", (clients, len(recorder.owners)))
    recorder.judge(report)


async def many_keys(report: Report, number: int) -> None:
    """Begin ``number`` sessions: no key and no id comes twice, and no bit leans to a side."""
    sessions: Sessions = make_app(MemoryCache(), Watch()).settings["sessions"]
    keys, ids = bytearray(), set[str]()
    for _ in range(number):
        exchange = Exchange(sessions, _Nobody(), "")
        exchange.begin_new_session()
        exchange.session["visits"] = 1
        key = exchange.session._key_to_be_stored()
        assert key is not None
        keys += key
        ids.add(exchange.session.id)
    different = len({bytes(keys[start : start + KEY_SIZE]) for start in range(0, len(keys), KEY_SIZE)})
    report.promise("no key comes twice", different == number, f"{different} of {number}")
    report.promise("no id comes twice", len(ids) == number, f"{len(ids)} of {number}")
    widest_bit, widest_byte = balance(bytes(keys), KEY_SIZE)
    report.promise("bits are balanced", widest_bit < _WIDEST_BIT, f"{widest_bit:.2f} standard deviations at the most")
    report.promise("bytes are even", widest_byte < _WIDEST_BYTE, f"chi-square {widest_byte:.0f} at the most, 255 meant")


def balance(keys: bytes, size: int) -> tuple[float, float]:
    """How far the worst of all bits leans to a side, in standard deviations; and the worst byte's chi-square."""
    number = len(keys) // size
    bits, squares = [], []
    for place in range(size):
        counts = Counter(keys[place::size])
        squares.append(sum((counts[byte] - number / 256) ** 2 for byte in range(256)) / (number / 256))
        for bit in range(8):
            ones = sum(count for byte, count in counts.items() if byte >> bit & 1)
            bits.append(abs(ones - number / 2) / (number / 4) ** 0.5)
    return max(bits), max(squares)


class _Nobody:
    """A request without a handler."""

    headers_sent = False

    def agrees(self, _: object) -> bool:
        return True

    def explain_not_loaded(self) -> str:
        return "not loaded"

    def renew_xsrf_token(self) -> None:
        pass
