"""Counter: the smallest session. How often you were here, who you are to the server, when it forgets you.

Run ``python -m demos.counter`` and open http://127.0.0.1:8888/.
"""

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path

from tornado.options import define, options, parse_command_line
from tornado.template import DictLoader
from tornado.web import Application, RequestHandler

from tornado_session import DistributedCache, MemoryCache, SessionMixin, session_settings

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Visit {{ session["visits"] }}</title>
<link rel="icon" href="{{ static_url("icon.svg") }}">
<link rel="stylesheet" href="{{ static_url("demo.css") }}">
<main>
  <h1>Visit {{ session["visits"] }}</h1>
  <p>Your session is <code>{{ session.id }}</code>. That is its public name: the key to it is only in your cookie.</p>
  <p>It ends at {{ session.expires.strftime("%H:%M:%S") }} UTC, unless you come back before; then it starts anew.</p>
  <form method="post">
    {% module xsrf_form_html() %}
    <button>Clear the session</button>
  </form>
</main>
"""


class Counter(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.session["visits"] = self.session.get("visits", 0) + 1
        self.render("page.html")

    def post(self) -> None:
        self.session.clear()
        self.redirect("/")


def make_app(cache: DistributedCache, cookie_secret: str) -> Application:
    return Application(
        [("/", Counter)],
        xsrf_cookies=True,
        static_path=Path(__file__).with_name("static"),
        template_loader=DictLoader({"page.html": PAGE}),
        **session_settings(cache=cache, cookie_secret=cookie_secret),
    )


async def serve(address: str, port: int) -> None:
    make_app(MemoryCache(), secrets.token_urlsafe(32)).listen(port, address)
    print(f"http://{address}:{port}/", flush=True)
    await asyncio.Event().wait()


def main() -> None:
    define("address", default="127.0.0.1", help="where to listen")
    define("port", default=8888, help="port to listen on")
    parse_command_line()
    with suppress(KeyboardInterrupt):
        asyncio.run(serve(options.address, options.port))


if __name__ == "__main__":
    main()
