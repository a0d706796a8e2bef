"""An outage: what visitors see while the cache does not answer."""

from typing import Any

from tornado.web import RequestHandler

from demos.tour.observed import WEATHERS, begin_journal
from demos.tour.page import Page
from tornado_session import SessionMixin


class Try(SessionMixin, RequestHandler):
    """Runs in three applications, one for each policy, with one second as ``io_timeout``."""

    async def prepare(self) -> None:
        begin_journal(self.get_cookie("tour_weather") or "fine")
        await super().prepare()

    def get(self) -> None:
        self.answer("read" if self.session.is_available else "empty, and is_available is False")

    def post(self) -> None:
        self.session["tried"] = self.session.get("tried", 0) + 1
        self.answer("taken as stored" if self.session.is_available else "dropped, with a line in the log")

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.answer(f"error page {status_code}, {type(kwargs['exc_info'][1]).__name__}")

    def answer(self, outcome: str) -> None:
        self.finish({"outcome": outcome})


class Outage(Page):
    """The switch is a cookie: the outage is yours alone."""

    slug = "outage"

    def get(self) -> None:
        if self.journal.weather == "fine":
            self.session.setdefault("tried", 0)  # Something for the cache to fail with.
        self.show()

    def post(self) -> None:
        weather = self.get_body_argument("weather")
        if weather in WEATHERS:
            self.set_cookie("tour_weather", weather, httponly=True, samesite="Lax")
        self.redirect("/outage")


Outage.sources = (Try, Outage)
