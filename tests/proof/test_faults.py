"""The short part of the faults; ``python -m tests.proof faults`` is the long one."""

import asyncio
import random

import pytest

from tests.proof import faults
from tests.proof.client import Client
from tests.proof.crash import children_of, crash, is_alive
from tests.proof.proxy import Fault, Proxy
from tests.proof.recorder import Recorder
from tests.proof.report import Report
from tests.proof.soak import soak
from tests.proof.visitor import Answer, Visitor
from tests.services import require
from tornado_session.testing.servers.postgresql import PostgresServer
from tornado_session.testing.servers.redis import RedisServer


async def test_clock_jumps_lose_nothing_and_revive_nothing() -> None:
    report = await faults.clock_jumps(seed=1)

    assert report.failures == []
    assert report.passed == 6


async def test_redis_behind_a_faulty_proxy_loses_nothing_acknowledged() -> None:
    _require_redis()

    report = await faults.behind_a_proxy("redis", seed=1, seconds=0.7)

    assert report.failures == []
    assert report.passed == 7


async def test_a_killed_redis_with_a_log_loses_nothing_acknowledged() -> None:
    _require_redis()

    report = await faults.kill_the_server("redis", seed=1, times=1)

    assert report.failures == []
    assert report.passed == 6


async def test_a_crash_ends_postgresql_with_its_children_and_it_comes_back() -> None:
    server = require(PostgresServer)
    require(server.command)
    try:
        server.start()
        assert server.process_id is not None
        family = [server.process_id, *children_of(server.process_id)]

        ended = crash(server)

        # How many there are changes by itself: the server has only just begun.
        assert ended > 1
        assert len(family) > 1
        assert [each for each in family if is_alive(each)] == []
        server.start()
        assert server.answers()
    finally:
        server.close()


def test_only_what_was_acknowledged_just_before_a_kill_is_excused() -> None:
    recorder = Recorder(excusable=[(10.0, 12.0)])

    recorder.lose("early", 9.9)
    recorder.lose("just before", 11.0)
    recorder.lose("late", 12.1)

    assert recorder.lost == ["early", "late"]
    assert recorder.excused == 1


async def test_a_short_load_leaves_no_task_no_socket_and_no_error() -> None:
    report = await soak("memory", seed=1, seconds=2, clients=8)

    assert report.failures == []
    assert report.passed >= 9


@pytest.mark.parametrize(("fault", "expected"), [("none", b"hello"), ("delay", b"hello"), ("refuse", b"")])
async def test_the_proxy_passes_delays_and_refuses(fault: Fault, expected: bytes) -> None:
    assert await _echoed(fault) == expected


async def test_the_proxy_drops_answers_and_cuts_messages() -> None:
    dropped = [await _echoed("drop", seed) for seed in range(12)]
    cut = [await _echoed("cut", seed) for seed in range(40)]

    assert {b"hello", b""} == set(dropped)
    assert any(len(part) < 5 for part in cut)


async def test_a_client_notices_that_an_acknowledged_token_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    client = Client("alice", [1], recorder, random.Random(1))
    client._is_signed_in, client._tokens = True, {"alice.1": 1.0, "alice.2": 1.0}

    async def answer(*_: object) -> Answer:
        return Answer(200, {"client": "alice", "tokens": ["alice.2"]})

    monkeypatch.setattr(Visitor, "request", answer)
    await client.finish()

    assert recorder.lost == ["alice: alice.1"]


def test_a_report_tells_what_was_broken() -> None:
    report = Report("run")
    report.promise("kept", True)
    report.promise("not kept", False, "3 of them")

    assert report.passed == 1
    assert [line.what for line in report.failures] == ["not kept"]
    assert "BROKEN" in str(report)


def _require_redis() -> None:
    """Skip where there is no Redis; the server that was asked leaves no directory behind."""
    server = RedisServer()
    try:
        require(server.command)
    finally:
        server.close()


async def _echoed(fault: Fault, seed: int = 1) -> bytes:
    """What comes back through the proxy when "hello" is sent to a server that repeats it."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(5))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    async with server, Proxy(server.sockets[0].getsockname()[1], seed) as proxy:
        proxy.fault = fault
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        try:
            writer.write(b"hello")
            return await asyncio.wait_for(reader.read(), 5)
        except ConnectionError:
            return b""
        finally:
            writer.close()


def test_a_cookie_whose_value_looks_like_a_date_of_deletion_is_kept() -> None:
    visitor = Visitor("one")

    visitor._keep("session=abc1970def; HttpOnly; Path=/")
    visitor._keep("other=abc; Path=/")
    visitor._keep("other=; expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/")

    assert visitor.cookies == {"session": "abc1970def"}
