"""Hidden form fields: state in the page."""

from decimal import Decimal, InvalidOperation

from demos.tour.page import Page


class Hidden(Page):
    """A price goes to the browser and comes back: once in clear, and once signed."""

    slug = "hidden"
    price = Decimal("39.00")

    def get(self) -> None:
        self.show_offer(None)

    def post(self) -> None:
        if self.get_body_argument("signed", None) is not None:
            price = self.read_signed(self.get_body_argument("signed"))
        else:
            price = self.read_clear(self.get_body_argument("clear"))
        self.show_offer(f"Sold for {price:.2f} €." if price else "Refused: we made no such offer.")

    def read_signed(self, field: str) -> Decimal | None:
        # Ten minutes are 0.007 days. None: altered, too old, or signed for another field.
        value = self.get_signed_cookie("offer", field, max_age_days=0.007)
        return None if value is None else Decimal(value.decode())

    def read_clear(self, field: str) -> Decimal | None:
        try:
            price = Decimal(field)
        except InvalidOperation:
            return None
        # It is a price, but is it ours?
        return price if price.is_finite() and 0 < price < 1000 else None

    def show_offer(self, outcome: str | None) -> None:
        signed = self.create_signed_value("offer", str(self.price)).decode()
        altered = signed[:-1] + ("0" if signed[-1] != "0" else "1")
        self.show(price=self.price, signed=signed, altered=altered, outcome=outcome)
