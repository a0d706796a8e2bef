"""Whether a request costs the same among a million sessions in MongoDB: ``python -m benchmarks.growth``.

Takes about five minutes and a gigabyte of disk. For ``MemoryCache`` see ``benchmarks/memory.py``.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Iterator
from typing import Any, Final

from benchmarks.contenders import CONTENDERS, OURS
from benchmarks.measure import Extent, measure
from benchmarks.process import LoadProcess
from benchmarks.report import Row
from benchmarks.stores import Mongo, store_for

_BATCH: Final = 10_000
_FEW: Final = 1000
# A thousand visitors in turn: 64 would find their documents in the server's memory however many others there are.
_EXTENT: Final = Extent(count=2000, seconds=1.0, blocks=3, rounds=3, sessions=_FEW)
_CONTENDER: Final = next(one for one in CONTENDERS if (one.name, one.group) == (OURS, "mongodb"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.growth", description=__doc__.partition(":")[0])
    parser.add_argument("--sessions", type=int, default=1_000_000)
    number = parser.parse_args().sessions
    with store_for("mongodb") as store, LoadProcess() as load:
        assert isinstance(store, Mongo)
        collection = store.client.benchmark.ours
        for wanted in (_FEW, number):
            fill(collection, wanted)
            samples = [measure(_CONTENDER, store, load, _EXTENT) for _ in range(_EXTENT.rounds)]
            print(f"among {collection.estimated_document_count():,} sessions")
            for key in samples[0]:
                print(described(Row.of(_CONTENDER, *key, [sample[key] for sample in samples])))


def described(row: Row) -> str:
    low, high = row.over_bare_range
    return (
        f"  {row.route:8} {row.connections:3} connections: {row.over_bare:6.1f} µs CPU over bare ({low} to {high}), "
        f"store {row.store_cpu or 0:.0f} µs, p50 {row.p50 / 1000:.2f} ms, p99 {row.p99 / 1000:.2f} ms, "
        f"{row.trips:.2f} trips"
    )


def fill(collection: Any, wanted: int) -> None:
    """Add copies of a session that the package has written, under other keys, until there are as many as wanted."""
    model = collection.find_one()
    if model is None:
        return
    began, missing = time.monotonic(), wanted - collection.estimated_document_count()
    for size in _batches(missing):
        documents = [model | {"_id": secrets.token_hex(32)} for _ in range(size)]
        collection.insert_many(documents, ordered=False)
    print(f"{missing:,} sessions added in {time.monotonic() - began:.0f} s", file=sys.stderr)


def _batches(number: int) -> Iterator[int]:
    for start in range(0, number, _BATCH):
        yield min(_BATCH, number - start)


if __name__ == "__main__":
    main()
