"""make_app(): the tour, and beside it the small applications whose sessions are set up differently."""

from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from tornado.web import Application

from demos.tour.inspector import Outcomes
from demos.tour.observed import ObservedCache
from demos.tour.page import NotFound, Topic
from demos.tour.pages.cache import Cache
from demos.tour.pages.cart import Cart
from demos.tour.pages.checkout import Checkout
from demos.tour.pages.cookies import Cookies
from demos.tour.pages.counter import Counter
from demos.tour.pages.devices import Devices, Revoke
from demos.tour.pages.hidden import Hidden
from demos.tour.pages.home import Home
from demos.tour.pages.items import Greeting, Items
from demos.tour.pages.messages import Messages, ReadMessage
from demos.tour.pages.outage import Outage, Try
from demos.tour.pages.parallel import Add, Parallel, Write
from demos.tour.pages.query import Query
from tornado_session import DistributedCache, SessionOptions, session_settings

HERE: Final = Path(__file__).parent

TOPICS: Final = (
    Topic("query", "Query strings", "With the request", "State in the address: to be shared, bookmarked and typed."),
    Topic("hidden", "Hidden form fields", "With the request", "State in the page, in clear and signed."),
    Topic("items", "self.items", "With the request", "State of one request, between its components."),
    Topic("cookies", "Cookies", "With the browser", "Small settings that the browser brings along."),
    Topic("messages", "TempData", "With the browser", "Kept until it is read: messages after a redirect."),
    Topic("counter", "Visit counter", "In the session", "The smallest session there is."),
    Topic("cart", "Shopping cart", "In the session", "Products and quantities, changed in place."),
    Topic("checkout", "Checkout in three steps", "In the session", "A long form that may be left and taken up again."),
    Topic("devices", "Sign-in and devices", "In the session", "Fresh keys, and signing out everywhere else."),
    Topic("cache", "The cache, directly", "For everybody", "What all visitors share, and what is slow to make."),
    Topic("parallel", "Two tabs at once", "Under fire", "Twenty parallel writes, and how many are kept."),
    Topic("outage", "An outage", "Under fire", "The cache fails or is slow; what visitors see."),
)

# An application has one set of options, so each of these is an application. They share cache, secret and cookie, and
# with them the visitor's session.
LABS: Final = {
    "merge": SessionOptions(on_conflict="merge"),
    "last_write_wins": SessionOptions(on_conflict="last_write_wins"),
    "read_only": SessionOptions(when_unavailable="read_only", io_timeout=timedelta(seconds=1)),
    "fail": SessionOptions(when_unavailable="fail", io_timeout=timedelta(seconds=1)),
    "ignore": SessionOptions(when_unavailable="ignore", io_timeout=timedelta(seconds=1)),
}


def make_app(cache: DistributedCache, cookie_secret: str) -> Application:
    observed = ObservedCache(cache)
    labs = [
        (rf"/lab/{name}/.*", Application(_lab_handlers(name), **_settings(observed, cookie_secret, options)))
        for name, options in LABS.items()
    ]
    return Application(
        [
            *labs,
            ("/", Home),
            ("/query", Query),
            ("/hidden", Hidden),
            ("/items", Items),
            ("/cookies", Cookies),
            ("/messages", Messages),
            ("/messages/read", ReadMessage),
            ("/counter", Counter),
            ("/cart", Cart),
            (r"/checkout(?:/(address|delivery|review))?", Checkout),
            ("/devices", Devices),
            ("/devices/revoke", Revoke),
            ("/cache", Cache),
            ("/parallel", Parallel),
            ("/outage", Outage),
        ],
        default_handler_class=NotFound,
        login_url="/devices",
        ui_modules={"Greeting": Greeting},
        template_path=HERE / "templates",
        static_path=HERE / "static",
        cache=observed,
        outcomes=Outcomes(),
        topics=TOPICS,
        **_settings(observed, cookie_secret, SessionOptions()),
    )


def _lab_handlers(name: str) -> list[Any]:
    return [(f"/lab/{name}/write", Write), (f"/lab/{name}/add", Add), (f"/lab/{name}/try", Try)]


def _settings(cache: DistributedCache, cookie_secret: str, options: SessionOptions) -> dict[str, Any]:
    return {
        "xsrf_cookies": True,
        "xsrf_cookie_kwargs": {"httponly": True, "samesite": "Lax"},
        "cross_origin_protection": True,  # Tornado 6.6 and later; unknown to older ones, and harmless.
        **session_settings(cache=cache, cookie_secret=cookie_secret, session=options),
    }
