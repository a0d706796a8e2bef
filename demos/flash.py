"""Flash: a form, a redirect, and a message that shows once; a long one travels in pieces, a longer one in the session.

Run ``python -m demos.flash`` and open http://127.0.0.1:8888/.
"""

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path

from tornado.options import define, options, parse_command_line
from tornado.template import DictLoader
from tornado.web import Application, RequestHandler

from tornado_session import DistributedCache, MemoryCache, SessionMixin, TempDataField, session_settings

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>A message that shows once</title>
<link rel="icon" href="{{ static_url("icon.svg") }}">
<link rel="stylesheet" href="{{ static_url("demo.css") }}">
<main>
  <h1>A message that shows once</h1>
  {% module Flash() %}
  {% if letter %}
  <p class="note">A letter of {{ len(letter) }} characters: {{ letter[:60] }}…</p>
  {% end %}
  <form method="post">
    {% module xsrf_form_html() %}
    <label for="message">Message</label>
    <input id="message" name="message" maxlength="200" value="Saved.">
    <button>Send it</button>
  </form>
  <form method="post" class="row">
    {% module xsrf_form_html() %}
    <button class="plain" name="length" value="4500">4,500 characters: in pieces</button>
    <button class="plain" name="length" value="9000">9,000 characters: in the session</button>
  </form>
  <table>
    <caption>The cookies that your browser sent for this page. Reload it, and see which are gone.</caption>
    <tr><th scope="col">Name</th><th scope="col" class="number">Bytes</th></tr>
    {% for name, size in cookies %}
    <tr><td><code>{{ name }}</code></td><td class="number">{{ size }}</td></tr>
    {% end %}
    {% if not cookies %}<tr><td>none</td><td class="number">0</td></tr>{% end %}
  </table>
</main>
"""


class Messages(SessionMixin, RequestHandler):
    letter: str | None = TempDataField()

    def get(self) -> None:
        cookies = [(name, len(f"{name}={morsel.value}")) for name, morsel in self.request.cookies.items()]
        self.render("page.html", letter=self.letter, cookies=cookies)

    def post(self) -> None:
        length = self.get_argument("length", None)
        if length in ("4500", "9000"):
            self.letter = ("What is read is gone. " * 500)[: int(length)]
        else:
            self.flash(self.get_argument("message")[:200])
        self.redirect("/")


def make_app(cache: DistributedCache, cookie_secret: str) -> Application:
    return Application(
        [("/", Messages)],
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
