"""Pages made of a function, for tests over HTTP."""

from collections.abc import Callable
from typing import Any

from tornado.httpclient import HTTPResponse
from tornado.template import DictLoader
from tornado.web import RequestHandler

from tornado_session import SessionMixin


class Page(SessionMixin, RequestHandler):
    """A handler for tests to subclass, or to make of a function with ``page``."""

    temp: Any = property(lambda self: self.temp_data)


def page(function: Callable[[Any], Any], **attributes: Any) -> type[Page]:
    """Make a handler that answers every method with ``function(handler)``, awaited where it needs to be."""

    async def answer(self: Any) -> None:
        outcome = function(self)
        if hasattr(outcome, "__await__"):
            await outcome

    return type("FunctionPage", (Page,), {"get": answer, "post": answer, "head": answer} | attributes)


def templates(pages: dict[str, str], **options: Any) -> dict[str, Any]:
    """Give the application settings for these templates. Tornado keeps loaders by path, so each gets one of its own."""
    loader = DictLoader(pages, **options)
    return {"template_loader": loader, "template_path": f"templates {id(loader)}"}


def set_names(response: HTTPResponse) -> list[str]:
    """The names of the cookies that a response sets, not those that it deletes."""
    return [line.partition("=")[0] for line in response.headers.get_list("Set-Cookie") if "Max-Age=0" not in line]


def deleted_names(response: HTTPResponse) -> list[str]:
    """The names of the cookies that a response deletes."""
    return [line.partition("=")[0] for line in response.headers.get_list("Set-Cookie") if "Max-Age=0" in line]
