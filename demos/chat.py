"""Chat: names come from the session, and whoever signs out in one tab is out of the chat in all of them.

Run ``python -m demos.chat`` and open http://127.0.0.1:8888/ in two tabs.
"""

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path

from tornado.ioloop import PeriodicCallback
from tornado.options import define, options, parse_command_line
from tornado.template import DictLoader
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler

from tornado_session import CacheError, DistributedCache, MemoryCache, SessionMixin, session_settings

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Chat</title>
<link rel="icon" href="{{ static_url("icon.svg") }}">
<link rel="stylesheet" href="{{ static_url("demo.css") }}">
<main>
  <h1>Chat</h1>
  {% if not name %}
  <form method="post" action="/join">
    {% module xsrf_form_html() %}
    <label for="name">Your name here</label>
    <input id="name" name="name" maxlength="30" autocomplete="nickname" required>
    <button>Join</button>
  </form>
  {% else %}
  <div id="log" class="log" role="log" aria-label="Messages" tabindex="0"></div>
  <form id="say">
    <label for="text">Message from {{ name }}</label>
    <input id="text" maxlength="500" autocomplete="off" required>
    <button>Say it</button>
  </form>
  <form method="post" action="/leave">
    {% module xsrf_form_html() %}
    <button class="plain">Sign out, in all tabs</button>
  </form>
  <script>
    const log = document.getElementById("log");
    const show = (text) => {
      const line = document.createElement("p");
      line.textContent = text;
      log.append(line);
      log.scrollTop = log.scrollHeight;
    };
    const socket = new WebSocket(location.origin.replace("http", "ws") + "/socket");
    socket.onmessage = (event) => show(event.data);
    socket.onclose = (event) => show(`Disconnected: ${event.reason || "the server is gone"}.`);
    document.getElementById("say").addEventListener("submit", (event) => {
      event.preventDefault();
      const input = document.getElementById("text");
      socket.send(input.value);
      input.value = "";
    });
  </script>
  {% end %}
</main>
"""

SIGNED_OUT = 4401


class Page(SessionMixin, RequestHandler):
    def get(self) -> None:
        self.render("page.html", name=self.session.get("name"))


class Join(SessionMixin, RequestHandler):
    async def post(self) -> None:
        name = self.get_argument("name")[:30]
        if name:
            await self.session.regenerate()
            self.session["name"] = name
        self.redirect("/")


class Leave(SessionMixin, RequestHandler):
    async def post(self) -> None:
        await self.session.destroy()
        self.redirect("/")


class Socket(SessionMixin, WebSocketHandler):
    """The session was loaded before the upgrade; what happens to it later shows at ``reload()``."""

    check_interval = 2000.0  # Milliseconds.

    def open(self) -> None:
        self.room: set[Socket] = self.settings["room"]
        self.name: str | None = self.session.get("name")
        self.checks = PeriodicCallback(self.check, self.check_interval)
        if self.name is None:
            self.close(SIGNED_OUT, "sign in first")
            return
        self.checks.start()
        self.room.add(self)
        self.tell_all(f"{self.name} has come in")

    async def on_message(self, message: str | bytes) -> None:
        if await self.check():
            # A connection is not a request: without this the session of a busy talker would go idle.
            await self.session.refresh()
            self.tell_all(f"{self.name}: {str(message)[:500]}")

    def on_close(self) -> None:
        self.checks.stop()
        if self in self.room:
            self.room.remove(self)
            self.tell_all(f"{self.name} has left")

    async def check(self) -> bool:
        """Whether the session still is what it was when the socket was opened."""
        try:
            await self.session.reload()
        except CacheError:
            return False  # An outage signs nobody out; the next check is soon.
        if self.session.get("name") == self.name:
            return True
        self.close(SIGNED_OUT, "you have signed out")
        return False

    def tell_all(self, text: str) -> None:
        for socket in self.room:
            if socket.ws_connection is not None:
                socket.write_message(text)


def make_app(cache: DistributedCache, cookie_secret: str) -> Application:
    return Application(
        [("/", Page), ("/join", Join), ("/leave", Leave), ("/socket", Socket)],
        room=set(),
        xsrf_cookies=True,
        websocket_max_message_size=4096,
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
