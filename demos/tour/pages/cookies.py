"""Cookies: state with the browser."""

from typing import Any

from demos.tour.page import ACCENTS, Page


class Cookies(Page):
    """A colour in clear, and a name that nobody else can have written."""

    slug = "cookies"

    def get(self) -> None:
        name = self.get_signed_cookie("tour_name", max_age_days=30)
        self.show(name=name.decode() if name else "", accents=ACCENTS)

    def post(self) -> None:
        if self.get_body_argument("forget", None):
            self.clear_cookie("tour_accent")
            self.clear_cookie("tour_name")
            self.redirect("/cookies")
            return
        keep: dict[str, Any] = {"expires_days": 30, "httponly": True, "samesite": "Lax"}
        if (accent := self.get_body_argument("accent")) in ACCENTS:
            self.set_cookie("tour_accent", accent, **keep)
        self.set_signed_cookie("tour_name", self.get_body_argument("name")[:40], **keep)
        self.redirect("/cookies")
