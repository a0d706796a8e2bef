import asyncio
import os
from decimal import Decimal

import tornado.template
import tornado.web

from tornado_session import MemoryCache, SessionMixin, session_settings

PRODUCTS = {
    "tea": ("Assam tea", Decimal("4.50")),
    "cup": ("Blue cup", Decimal("12.00")),
    "pot": ("Teapot", Decimal("39.00")),
}

TEMPLATES = {
    "shop.html": """
        <h1>Shop</h1>
        {% module Flash() %}
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


def make_app(cache):
    return tornado.web.Application(
        [("/", Shop), ("/cart", Cart), ("/checkout/address", Address), ("/checkout/confirm", Confirm)],
        template_loader=tornado.template.DictLoader(TEMPLATES),
        xsrf_cookies=True,
        **session_settings(
            cache=cache,
            cookie_secret=os.environ.get("SHOP_SECRET", "only for the tutorial, not for a site"),
        ),
    )


async def main():
    make_app(MemoryCache()).listen(8888)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
