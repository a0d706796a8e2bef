"""Page: what all pages of the tour share, around the few lines that each is about."""

from typing import Any, ClassVar, Final, NamedTuple

from tornado.web import HTTPError, RequestHandler

from demos.tour import inspector
from demos.tour.observed import WEATHERS, Journal, begin_journal
from demos.tour.source import highlighted
from tornado_session import DistributedCache, SessionMixin, Sessions

ACCENTS: Final = ("pine", "plum", "ochre")
# All that the pages need comes from the tour itself, and nothing in a page's text can run.
POLICY: Final = "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"


class Topic(NamedTuple):
    """One stop of the tour."""

    slug: str
    title: str
    group: str
    summary: str

    @property
    def path(self) -> str:
        return f"/{self.slug}"


class Page(SessionMixin, RequestHandler):
    """Base of all pages: an inspector at the foot, the handler's own source beside it."""

    slug: ClassVar[str] = ""
    sources: ClassVar[tuple[Any, ...]] = ()
    """What is shown as the page's source, if not just its handler."""

    journal: Journal = Journal()

    async def prepare(self) -> None:
        self.journal = begin_journal(self.get_cookie("tour_weather", "fine") or "fine")
        await super().prepare()

    def get_current_user(self) -> str | None:
        return self.session.owner if self.session.is_available else None

    @property
    def cache(self) -> DistributedCache:
        return self.settings["cache"]  # type: ignore[no-any-return]

    @property
    def sessions(self) -> Sessions:
        return self.settings["sessions"]  # type: ignore[no-any-return]

    def show(self, **values: Any) -> None:
        self.render(f"{self.slug}.html", **values)

    # -- around the page ----------------------------------------------------------------------------------------------

    def set_default_headers(self) -> None:
        self.set_header("Content-Security-Policy", POLICY)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("Referrer-Policy", "same-origin")

    def get_template_namespace(self) -> dict[str, Any]:
        accent = self.get_cookie("tour_accent", ACCENTS[0])
        return super().get_template_namespace() | {
            "topics": self.settings["topics"],
            "topic": next((topic for topic in self.settings["topics"] if topic.slug == self.slug), None),
            "accent": accent if accent in ACCENTS else ACCENTS[0],
            "weather": self.journal.weather,
            "weathers": WEATHERS,
            "source": lambda: highlighted(*(self.sources or (type(self),))),
            "inspector": inspector,
            "trips": self.journal.trips,
            "previous": self.settings["outcomes"].of(self.session),
        }

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        error = kwargs.get("exc_info", (None, None, None))[1]
        message = "" if error is None or isinstance(error, HTTPError) else str(error)
        self.render(
            "error.html", status=status_code, reason=self._reason, message=message if status_code != 500 else ""
        )

    def flush(self, include_footers: bool = False) -> Any:
        # The commit is over when the headers leave, though not when the page was made.
        self.set_header("Server-Timing", inspector.server_timing(self.journal.trips))
        return super().flush(include_footers)

    def on_finish(self) -> None:
        request, cookies = self.request, self._headers.get_list("Set-Cookie")
        outcome = inspector.Outcome(
            request.method or "",
            request.path,
            self.get_status(),
            self.journal.trips,
            [inspector.without_value(line) for line in cookies],
        )
        self.settings["outcomes"].note(self.session, outcome)


class NotFound(Page):
    async def prepare(self) -> None:
        await super().prepare()
        raise HTTPError(404)
