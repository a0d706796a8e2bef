"""Login: sign in, see all your devices, sign one of them out, or all the others.

Run ``python -m demos.login`` and open http://127.0.0.1:8888/ in two browsers. What a site needs besides: a limit to how
often a password may be tried.
"""

import asyncio
import hashlib
import hmac
import secrets
from contextlib import suppress
from pathlib import Path

from tornado.options import define, options, parse_command_line
from tornado.template import DictLoader
from tornado.web import Application, RequestHandler, authenticated

from tornado_session import DistributedCache, MemoryCache, SessionInfo, SessionMixin, Sessions, session_settings

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Your devices</title>
<link rel="icon" href="{{ static_url("icon.svg") }}">
<link rel="stylesheet" href="{{ static_url("demo.css") }}">
<main>
  {% if not current_user %}
  <h1>Sign in</h1>
  {% module Flash() %}
  <form method="post" action="/sign-in">
    {% module xsrf_form_html() %}
    <label for="name">Name</label>
    <input id="name" name="name" autocomplete="username" required>
    <label for="password">Password</label>
    <input id="password" name="password" type="password" autocomplete="current-password" required>
    <button>Sign in</button>
  </form>
  <p class="quiet">There are <code>demo</code> (password <code>correct horse</code>) and
    <code>guest</code> (<code>battery staple</code>).</p>
  {% else %}
  <h1>Your devices, {{ current_user }}</h1>
  {% module Flash() %}
  <table>
    <tr><th scope="col">Browser</th><th scope="col">Last seen (UTC)</th><th scope="col">Action</th></tr>
    {% for device in devices %}
    <tr>
      <td>{{ device.label or "Unknown" }}{% if device.id == session.id %} <strong>(this one)</strong>{% end %}</td>
      <td>{{ device.last_seen.strftime("%d %b, %H:%M:%S") }}</td>
      <td><form method="post" action="/revoke">
        {% module xsrf_form_html() %}
        <button class="plain" name="id" value="{{ device.id }}">Sign out</button>
      </form></td>
    </tr>
    {% end %}
  </table>
  <form method="post" action="/revoke">
    {% module xsrf_form_html() %}
    <button>Sign out everywhere else</button>
  </form>
  {% end %}
</main>
"""

# By name: salt and hash. A hash for nobody makes an unknown name take as long as a wrong password.
USERS = {
    "demo": (
        bytes.fromhex("411f2f89aa24f83a36d4316417265d3d"),
        bytes.fromhex("fcc06d3f36864f6488ba213276b00270c51dfff0ce41724db80a190eefd494e5"),
    ),
    "guest": (
        bytes.fromhex("283ad5a76533e3e6d0fe08fd69229ea4"),
        bytes.fromhex("a4d2de18f6a8f2f22dbfaf5ef9c2127e5f1cb4d7bf21b92b2e9fb54c1488811e"),
    ),
}
NOBODY = (secrets.token_bytes(16), secrets.token_bytes(32))


async def may_sign_in(name: str, password: str) -> bool:
    salt, expected = USERS.get(name, NOBODY)
    # Scrypt is slow on purpose: in a thread it does not hold up everybody else.
    actual = await asyncio.to_thread(hashlib.scrypt, password.encode(), salt=salt, n=2**14, r=8, p=5, dklen=32)
    return hmac.compare_digest(actual, expected)


def browser_name(user_agent: str) -> str:
    browsers = {"Edg/": "Edge", "Firefox/": "Firefox", "Chrome/": "Chrome", "Safari/": "Safari"}
    systems = {"Android": "Android", "iPhone": "iPhone", "Windows": "Windows", "Mac OS X": "macOS", "Linux": "Linux"}
    browser = next((name for mark, name in browsers.items() if mark in user_agent), "A browser")
    system = next((name for mark, name in systems.items() if mark in user_agent), "an unknown system")
    return f"{browser} on {system}"


class Page(SessionMixin, RequestHandler):
    def get_current_user(self) -> str | None:
        return self.session.owner

    @property
    def sessions(self) -> Sessions:
        return self.settings["sessions"]  # type: ignore[no-any-return]


class Devices(Page):
    async def get(self) -> None:
        devices: list[SessionInfo] = []
        if self.current_user:
            devices = [device async for device in self.sessions.of(self.current_user)]
        devices.sort(key=lambda device: device.last_seen, reverse=True)
        self.render("page.html", devices=devices)


class SignIn(Page):
    async def post(self) -> None:
        name = self.get_argument("name")
        if await may_sign_in(name, self.get_argument("password", strip=False)):
            # A fresh key: whoever knew the old one, or planted it, is left outside.
            await self.session.regenerate(owner=name)
            self.session.label = browser_name(self.request.headers.get("User-Agent", ""))
        else:
            self.flash("This name and password do not go together.", "error")
        self.redirect("/")


class Revoke(Page):
    @authenticated
    async def post(self) -> None:
        session_id = self.get_argument("id", None)
        if session_id == self.session.id:
            await self.session.destroy()
            self.flash("You are signed out.")
        elif session_id:
            await self.sessions.revoke(self.current_user, session_id)
            self.flash("That device is signed out.")
        else:
            ended = await self.sessions.revoke_all(self.current_user, keep=self.session.id)
            self.flash(f"Signed out on other devices: {ended}.")
        self.redirect("/")


def make_app(cache: DistributedCache, cookie_secret: str) -> Application:
    return Application(
        [("/", Devices), ("/sign-in", SignIn), ("/revoke", Revoke)],
        login_url="/",
        xsrf_cookies=True,
        cross_origin_protection=True,  # Tornado 6.6 and later; unknown to older ones, and harmless.
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
