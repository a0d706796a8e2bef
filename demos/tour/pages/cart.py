"""The session: a shopping cart."""

from demos.tour.page import Page
from demos.tour.shop import BY_SKU, PRODUCTS, total


class Cart(Page):
    """Products and quantities, a dict in the session that is changed where it is."""

    slug = "cart"

    def get(self) -> None:
        cart = self.session.get("cart", {})
        self.show(products=PRODUCTS, by_sku=BY_SKU, cart=cart, total=total(cart))

    def post(self) -> None:
        sku = self.get_body_argument("sku")
        if sku in BY_SKU:
            self.change(sku, self.get_body_argument("quantity", "more"))
        self.redirect("/cart")

    def change(self, sku: str, quantity: str) -> None:
        cart = self.session.setdefault("cart", {})
        if quantity == "more":
            cart[sku] = min(cart.get(sku, 0) + 1, 99)
        elif quantity.isdecimal() and 0 < int(quantity) < 100:
            cart[sku] = int(quantity)
        else:
            cart.pop(sku, None)
