"""Query strings: state in the address."""

from demos.tour.page import Page
from demos.tour.shop import PRODUCTS, Product

ORDERS = {"name": lambda product: product.name, "price": lambda product: product.price}


class Query(Page):
    """What is shown, and in which order, is all in the address."""

    slug = "query"

    def get(self) -> None:
        kind = self.get_query_argument("kind", "all")
        order = self.get_query_argument("order", "name")
        self.show(kind=kind, order=order, products=self.select(kind, order))

    def select(self, kind: str, order: str) -> list[Product]:
        chosen = [product for product in PRODUCTS if kind in ("all", product.kind)]
        # Anybody can type anything into an address: an order that does not exist is the usual one.
        return sorted(chosen, key=ORDERS.get(order, ORDERS["name"]))
