import asyncio
from decimal import Decimal

import tornado.template
import tornado.web

PRODUCTS = {
    "tea": ("Assam tea", Decimal("4.50")),
    "cup": ("Blue cup", Decimal("12.00")),
    "pot": ("Teapot", Decimal("39.00")),
}

TEMPLATES = {
    "shop.html": """
        <h1>Shop</h1>
        <ul>
          {% for name, price in products.values() %}<li>{{ name }}, {{ price }}</li>{% end %}
        </ul>
    """,
}


class Shop(tornado.web.RequestHandler):
    def get(self):
        self.render("shop.html", products=PRODUCTS)


def make_app():
    return tornado.web.Application(
        [("/", Shop)],
        template_loader=tornado.template.DictLoader(TEMPLATES),
    )


async def main():
    make_app().listen(8888)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
