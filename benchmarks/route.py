"""One route, run so many times in this process, for profilers: ``python -m benchmarks.route tornado_session read 300``.

``valgrind --tool=cachegrind python -m benchmarks.route ...`` counts instructions: what 300 runs take more than 100,
divided by 200, is a request's. The garbage collector is off, for whether it runs once more or less would hide the rest.
"""

import asyncio
import gc
import sys
from typing import Any, Final

from tornado.web import Application

from benchmarks.floors import SECRET, answered
from benchmarks.servers import by_hand_mixin, by_hand_promises, ours, torndsession_server
from benchmarks.servers.tornado_server import Bare
from tornado_session import MemoryCache, session_settings

PROGRAMS: Final[dict[str, Any]] = {
    "tornado_session": ours,
    "torndsession": torndsession_server,
    "by_hand_mixin": by_hand_mixin,
    "by_hand_promises": by_hand_promises,
}


async def run(program: str, route: str, times: int) -> None:
    """Run ``bare``, ``read`` or ``written`` of a program, with the cookie of a session."""
    module = PROGRAMS[program]
    application = Application([], **session_settings(cache=MemoryCache(), cookie_secret=SECRET))
    cookie = await answered(module.Start, application, "")
    handler = {"bare": Bare, "read": module.Read, "written": module.Written}[route]
    for _ in range(times):
        await answered(handler, application, cookie)


if __name__ == "__main__":
    gc.disable()
    asyncio.run(run(sys.argv[1], sys.argv[2], int(sys.argv[3])))
