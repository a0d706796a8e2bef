"""What the Tornado contenders share: a bare handler, and the loop."""

import asyncio
from collections.abc import Callable
from typing import Any

from tornado.web import Application, RequestHandler


class Bare(RequestHandler):
    """The route that all others are compared with."""

    async def get(self) -> None:
        self.write("0")


def serve(port: int, make_application: Callable[[], Application]) -> None:
    """Serve until the process is ended; the application is made inside the loop, where its drivers belong."""

    async def main() -> None:
        make_application().listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(main())


def quiet(application: Application) -> Application:
    """Leave out the access log, which none of the other servers writes."""
    application.settings["log_function"] = _log_nothing
    return application


def _log_nothing(handler: Any) -> None:
    pass
