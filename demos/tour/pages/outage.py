"""An outage: what visitors see while the cache does not answer."""

from typing import Any

from tornado.web import RequestHandler

from demos.tour.observed import WEATHERS, begin_journal
from demos.tour.page import Page
from tornado_session import SessionMixin


class Try(SessionMixin, RequestHandler):
    """Runs in three applications, one for each ``when_unavailable``; all three have ``io_timeout`` at one second."""

    async def prepare(self) -> None:
        begin_journal(self.get_cookie("tour_weather") or "fine")
        await super().prepare()

    def get(self) -> None:
        self.write({"outcome": "read" if self.session.is_available else "read as empty: is_available is False"})

    def post(self) -> None:
        self.session["tried"] = self.session.get("tried", 0) + 1
        self.write({"outcome": "stored" if self.session.is_available else "dropped, with a warning in the log"})

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        self.finish({"outcome": f"error page {status_code}: {type(kwargs['exc_info'][1]).__name__}"})


class Outage(Page):
    """The switch is a cookie: the outage is yours alone."""

    slug = "outage"
    sources = (Try,)

    def get(self) -> None:
        self.show()

    def post(self) -> None:
        weather = self.get_body_argument("weather")
        if weather in WEATHERS:
            self.set_cookie("tour_weather", weather, httponly=True, samesite="Lax")
        self.redirect("/outage")
