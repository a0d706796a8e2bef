"""How many bytecodes and calls a request takes more than a bare one: ``python -m benchmarks.bytecodes``.

The same in every run on the same versions, which no time on a busy machine is: for comparing one commit with the next,
and this package in memory with torndsession and with the least that a mixin can do, and that our promises take
(``servers/by_hand_mixin.py``, ``servers/by_hand_promises.py``).
"""

import asyncio
import sys
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final

from tornado.web import Application, RequestHandler

from benchmarks.floors import SECRET, answered
from benchmarks.servers import by_hand_mixin, by_hand_promises, ours, torndsession_server
from benchmarks.servers.tornado_server import Bare
from tornado_session import MemoryCache, session_settings

_WARM_UP: Final = 5


@dataclass(frozen=True, slots=True)
class Count:
    """What one request took."""

    bytecodes: int
    calls: int


class _Waiting(MemoryCache):
    """The same as a cache that may wait: with a deadline, a turn, and a response that is held until all is stored."""


async def count_all() -> dict[str, Count]:
    """Count every route of every contender, each less what the bare route takes."""
    found: dict[str, Count] = {}
    for name, module, cache in (
        ("tornado_session", ours, MemoryCache()),
        ("tornado_session, a cache that waits", ours, _Waiting()),
        ("torndsession", torndsession_server, MemoryCache()),
        ("by hand, a mixin", by_hand_mixin, MemoryCache()),
        ("by hand, our promises", by_hand_promises, MemoryCache()),
    ):
        application = Application([], **session_settings(cache=cache, cookie_secret=SECRET))
        cookie = await answered(module.Start, application, "")
        bare = await _count(Bare, application, cookie)
        for route, handler in (("read", module.Read), ("written", module.Written)):
            took = await _count(handler, application, cookie)
            found[f"{name}, {route}"] = Count(took.bytecodes - bare.bytecodes, took.calls - bare.calls)
    return found


async def _count(handler: type[RequestHandler], application: Application, cookie: str) -> Count:
    for _ in range(_WARM_UP):
        await answered(handler, application, cookie)
    bytecodes = calls = 0

    def trace_calls(frame: FrameType, event: str, _: object) -> Any:
        nonlocal calls
        calls += event == "call"
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return trace_bytecodes

    def trace_bytecodes(_: FrameType, event: str, __: object) -> Any:
        nonlocal bytecodes
        bytecodes += event == "opcode"
        return trace_bytecodes

    # In a task of its own, so that every frame of the request is a new one and is traced.
    sys.settrace(trace_calls)
    try:
        await asyncio.ensure_future(answered(handler, application, cookie))
    finally:
        sys.settrace(None)
    return Count(bytecodes, calls)


def main() -> None:
    """Print them."""
    for name, count in asyncio.run(count_all()).items():
        print(f"{name:48} {count.bytecodes:6} bytecodes  {count.calls:4} calls")


if __name__ == "__main__":
    main()
