"""Two tabs at once: twenty writes to one session, in parallel."""

import asyncio

from tornado.web import RequestHandler

from demos.tour.page import Page
from tornado_session import SessionMixin

WRITES = 20


class Write(SessionMixin, RequestHandler):
    """One of twenty tabs, each with a key of its own. Served under both policies."""

    async def post(self) -> None:
        number = int(self.get_body_argument("number")) % WRITES
        # As if a database were asked: meanwhile other tabs load the same session.
        await asyncio.sleep(0.05)
        self.session[f"write {number:02}"] = True


class Add(SessionMixin, RequestHandler):
    """One of twenty tabs, which all change the same key."""

    async def post(self) -> None:
        await self.session.modify("tally", lambda tally: tally + 1, default=0)


class Parallel(Page):
    """Clears the board before a round, and tells what was kept after it."""

    slug = "parallel"

    def get(self) -> None:
        kept = [f"write {number:02}" in self.session for number in range(WRITES)]
        if self.get_query_argument("as", None) == "json":
            self.write({"kept": kept, "tally": self.session.get("tally", 0)})
            return
        self.show(kept=kept)

    def post(self) -> None:
        for number in range(WRITES):
            self.session.pop(f"write {number:02}", None)
        # Zero, and not missing: there is a session to write to before the twenty set out.
        self.session["tally"] = 0
        self.write({})


Parallel.sources = (Write, Add, Parallel)
