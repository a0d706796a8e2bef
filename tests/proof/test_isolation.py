"""The short part of the isolation run; ``python -m tests.proof isolation`` is the long one."""

import secrets

from tests.proof import isolation
from tests.proof.recorder import Recorder
from tests.proof.report import Report
from tests.proof.visitor import Answer


async def test_parallel_clients_see_nothing_but_their_own() -> None:
    report = Report("isolation")

    await isolation.parallel_clients(report, 1, clients=30, seconds=2)

    assert report.failures == []
    assert report.passed == 5


async def test_keys_and_ids_do_not_repeat_and_lean_to_no_side() -> None:
    report = Report("keys")

    await isolation.many_keys(report, 20_000)

    assert report.failures == []
    assert report.passed == 4


def test_the_balance_notices_a_bit_that_is_always_set() -> None:
    keys = b"".join(bytes([byte | 1]) for byte in secrets.token_bytes(4000))

    widest_bit, widest_byte = isolation.balance(keys, 1)

    assert widest_bit > 50
    assert widest_byte > 3000


def test_the_recorder_notices_what_belongs_to_another() -> None:
    recorder = Recorder()

    recorder.saw("alice", Answer(200, {"client": "bob"}))
    recorder.saw("alice", Answer(200, {"client": "alice", "tokens": ["bob.1"], "id": "x"}))
    recorder.saw("bob", Answer(200, {"client": "bob", "id": "x"}))

    assert len(recorder.foreign) == 3
