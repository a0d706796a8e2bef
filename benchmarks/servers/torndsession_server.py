"""torndsession (https://pypi.org/project/torndsession/), in memory, as its documentation sets it up."""

from typing import Any

from tornado.web import Application
from torndsession.sessionhandler import SessionBaseHandler

from benchmarks.servers import tornado_server
from benchmarks.servers.common import SESSION, arguments


class Start(SessionBaseHandler):
    async def get(self) -> None:
        for key, value in SESSION.items():
            self.session[key] = value
        self.session["visits"] = 1  # it takes a value that is false for a missing one
        self.write("0")


class Untouched(SessionBaseHandler):
    async def get(self) -> None:
        self.write("0")


class Read(SessionBaseHandler):
    async def get(self) -> None:
        self.write(str(self.session["visits"]))


class Written(SessionBaseHandler):
    async def get(self) -> None:
        self.session["visits"] = self.session["visits"] + 1
        self.write(str(self.session["visits"]))


HANDLERS: list[Any] = [
    ("/bare", tornado_server.Bare),
    ("/start", Start),
    ("/none", Untouched),
    ("/read", Read),
    ("/written", Written),
]

if __name__ == "__main__":
    tornado_server.serve(arguments().port, lambda: tornado_server.quiet(Application(HANDLERS)))
