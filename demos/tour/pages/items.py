"""self.items: state of one request, between its components."""

from time import perf_counter

from tornado.web import UIModule

from demos.tour.page import Page
from tornado_session import ItemKey

STARTED = ItemKey[float]("when the request began")
LANGUAGE = ItemKey[str]("language")
OTHER_LANGUAGE = ItemKey[str]("language")  # The same name, and yet another key.

GREETINGS = {"de": "Guten Tag", "fr": "Bonjour", "ja": "こんにちは", "en": "Good day"}


class Greeted(Page):
    """One component: knows the visitor's language before any other code runs."""

    async def prepare(self) -> None:
        self.items[STARTED] = perf_counter()
        wanted = self.request.headers.get("Accept-Language", "")[:2]
        self.items[LANGUAGE] = wanted if wanted in GREETINGS else "en"
        self.items[OTHER_LANGUAGE] = "set by somebody else"
        await super().prepare()


class Greeting(UIModule):
    """Another component, in the template: it was passed nothing."""

    def render(self) -> str:
        assert isinstance(self.handler, Greeted)
        items = self.handler.items
        passed = 1000 * (perf_counter() - items[STARTED])
        return f"{GREETINGS[items[LANGUAGE]]}! It is {passed:.1f} ms since the request began."


class Items(Greeted):
    slug = "items"

    def get(self) -> None:
        self.show(items=self.items)


Items.sources = (Greeted, Greeting, Items)
