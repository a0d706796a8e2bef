"""The session: a visit counter."""

from datetime import UTC, datetime

from demos.tour.page import Page


class Counter(Page):
    """How often this browser was here, and since when."""

    slug = "counter"

    def get(self) -> None:
        self.session["visits"] = self.session.get("visits", 0) + 1
        self.session.setdefault("first visit", datetime.now(UTC))
        self.show()

    def post(self) -> None:
        self.session.clear()
        self.redirect("/counter")
