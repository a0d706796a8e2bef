"""The session: a form in three steps."""

import secrets

from demos.tour.page import Page
from demos.tour.shop import BY_SKU, total

FIELDS = {"address": ("name", "street", "town"), "delivery": ("speed",)}
STEPS = ("address", "delivery", "review")


class Checkout(Page):
    """Each step is kept as it is filled in; nobody gets ahead of what is missing."""

    slug = "checkout"

    def get(self, step: str | None) -> None:
        order, reached = self.session.get("order", {}), self.reached()
        if step is None or STEPS.index(step) > STEPS.index(reached):
            self.redirect(f"/checkout/{reached}")
            return
        cart = self.session.get("cart", {})
        shown = {"steps": STEPS, "order": order, "cart": cart, "by_sku": BY_SKU, "total": total(cart)}
        self.show(step=step, reached=reached, **shown)

    def post(self, step: str | None) -> None:
        if step in FIELDS:
            filled = {name: self.get_body_argument(name, "")[:80] for name in FIELDS[step]}
            if not all(filled.values()):
                self.flash("Please fill in every field.", "error")
                self.redirect(f"/checkout/{step}")
                return
            self.session.setdefault("order", {})[step] = filled
        elif self.reached() == "review" and self.session.get("cart"):
            self.place_order()
            return
        self.redirect(f"/checkout/{self.reached()}")

    def reached(self) -> str:
        order = self.session.get("order", {})
        return next((step for step in FIELDS if step not in order), "review")

    def place_order(self) -> None:
        del self.session["order"], self.session["cart"]
        self.flash(f"Thank you. Your order {secrets.token_hex(3).upper()} is on its way.")
        self.redirect("/cart")
