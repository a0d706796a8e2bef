import asyncio
import hashlib
import hmac
import os
from decimal import Decimal

import tornado.template
import tornado.web

from tornado_session import SessionMixin, session_settings
from tornado_session.caching.sql import SQLCache, create_cache_engine

PRODUCTS = {
    "tea": ("Assam tea", Decimal("4.50")),
    "cup": ("Blue cup", Decimal("12.00")),
    "pot": ("Teapot", Decimal("39.00")),
}

# A site keeps these in its database: user, salt, and what scrypt makes of the password "tea time".
SALT = bytes.fromhex("7c9e5f0a61d84b2f")
USERS = {"shopper": hashlib.scrypt(b"tea time", salt=SALT, n=2**14, r=8, p=1)}

TEMPLATES = {
    "shop.html": """
        <h1>Shop</h1>
        {% module Flash() %}
        {% if session.owner %}
          <form method="post" action="/sign-out">
            {% module xsrf_form_html() %}
            <p>Hello {{ session.owner }} <button>Sign out</button> <a href="/devices">Your devices</a></p>
          </form>
        {% else %}
          <p><a href="/sign-in">Sign in</a></p>
        {% end %}
        <form method="post" action="/cart">
          {% module xsrf_form_html() %}
          {% for key, (name, price) in products.items() %}
            <button name="product" value="{{ key }}">{{ name }}, {{ price }}</button>
          {% end %}
        </form>
        <h2>Your cart</h2>
        <ul>
          {% for key, count in cart.items() %}<li>{{ count }} × {{ products[key][0] }}</li>{% end %}
        </ul>
        <p>Total: {{ total }}</p>
        <p><a href="/checkout/address">Check out</a></p>
    """,
    "sign-in.html": """
        <h1>Sign in</h1>
        {% module Flash() %}
        <form method="post">
          {% module xsrf_form_html() %}
          <label>Name <input name="name" autocomplete="username"></label>
          <label>Password <input name="password" type="password" autocomplete="current-password"></label>
          <button>Sign in</button>
        </form>
    """,
    "devices.html": """
        <h1>Your devices</h1>
        {% module Flash() %}
        <form method="post">
          {% module xsrf_form_html() %}
          <ul>
            {% for device in devices %}
              <li>
                {{ device.label }}, last seen {{ device.last_seen.strftime("%H:%M") }}
                {% if device.id == session.id %}
                  (this one)
                {% else %}
                  <button name="id" value="{{ device.id }}">End</button>
                {% end %}
              </li>
            {% end %}
          </ul>
          <button name="id" value="others">Sign out everywhere else</button>
        </form>
    """,
    "address.html": """
        <h1>Where to?</h1>
        {% module Flash() %}
        <form method="post">
          {% module xsrf_form_html() %}
          <label>Address <input name="address" value="{{ session.get('address', '') }}"></label>
          <button>Next</button>
        </form>
    """,
    "confirm.html": """
        <h1>Is that right?</h1>
        <p>{{ total }} to {{ session["address"] }}</p>
        <form method="post">{% module xsrf_form_html() %}<button>Order</button></form>
    """,
}


class Page(SessionMixin, tornado.web.RequestHandler):
    @property
    def cart(self):
        return self.session.setdefault("cart", {})

    @property
    def total(self):
        return sum((PRODUCTS[key][1] * n for key, n in self.session.get("cart", {}).items()), Decimal(0))


class Shop(Page):
    async def get(self):
        self.render("shop.html", products=PRODUCTS, cart=self.session.get("cart", {}), total=self.total)


class Cart(Page):
    async def post(self):
        product = self.get_body_argument("product")
        if product not in PRODUCTS:
            raise tornado.web.HTTPError(404)
        self.cart[product] = self.cart.get(product, 0) + 1
        self.flash(f"{PRODUCTS[product][0]} is in your cart.")
        self.redirect("/")


class Address(Page):
    async def get(self):
        self.render("address.html")

    async def post(self):
        address = self.get_body_argument("address")
        if not address:
            self.flash("Please tell where to send it.", "error")
            self.redirect("/checkout/address")
            return
        self.session["address"] = address
        self.redirect("/checkout/confirm")


class Confirm(Page):
    async def get(self):
        if "address" not in self.session:
            self.redirect("/checkout/address")
            return
        self.render("confirm.html", total=self.total)

    async def post(self):
        number = await self.session.modify("orders", lambda count: count + 1, default=0)
        self.session.pop("cart", None)
        self.flash(f"Thank you. This is your order number {number}.")
        self.redirect("/")


def password_fits(name, password):
    given = hashlib.scrypt(password.encode(), salt=SALT, n=2**14, r=8, p=1)
    return hmac.compare_digest(given, USERS.get(name, b"nobody"))


class SignIn(Page):
    async def get(self):
        self.render("sign-in.html")

    async def post(self):
        name, password = self.get_body_argument("name"), self.get_body_argument("password")
        if not await asyncio.to_thread(password_fits, name, password):
            self.flash("Name or password is wrong.", "error")
            self.redirect("/sign-in")
            return
        self.session.label = self.request.headers.get("User-Agent", "unknown")[:80]
        await self.session.regenerate(owner=name)
        self.redirect("/")


class SignOut(Page):
    async def post(self):
        await self.session.destroy()
        self.redirect("/")


class Devices(Page):
    async def prepare(self):
        await super().prepare()
        if self.session.owner is None:
            self.redirect("/sign-in")

    async def get(self):
        devices = [device async for device in self.settings["sessions"].of(self.session.owner)]
        self.render("devices.html", devices=sorted(devices, key=lambda device: device.created))

    async def post(self):
        sessions, owner, id_ = self.settings["sessions"], self.session.owner, self.get_body_argument("id")
        if id_ == "others":
            count = await sessions.revoke_all(owner, keep=self.session.id)
        else:
            count = int(await sessions.revoke(owner, id_))
        self.flash(f"Sessions ended: {count}.")
        self.redirect("/devices")


def make_app(cache):
    return tornado.web.Application(
        [
            ("/", Shop),
            ("/cart", Cart),
            ("/checkout/address", Address),
            ("/checkout/confirm", Confirm),
            ("/sign-in", SignIn),
            ("/sign-out", SignOut),
            ("/devices", Devices),
        ],
        template_loader=tornado.template.DictLoader(TEMPLATES),
        xsrf_cookies=True,
        **session_settings(
            cache=cache,
            cookie_secret=os.environ.get("SHOP_SECRET", "only for the tutorial, not for a site"),
        ),
    )


async def main():
    cache = SQLCache(create_cache_engine("sqlite+aiosqlite:///shop.db"))
    make_app(cache).listen(8888)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
