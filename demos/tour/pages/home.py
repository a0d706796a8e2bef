"""The first page: where the tour goes."""

from demos.tour.page import Page


class Home(Page):
    slug = "home"

    def get(self) -> None:
        self.show()
