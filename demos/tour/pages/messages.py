"""TempData: state that is gone once it was read."""

from demos.tour.page import Page
from tornado_session import TempDataField

LENGTHS = {"short": 40, "chunked": 4500, "overflow": 9000}


class Messages(Page):
    """A letter for a later page, and a message about it for the next one."""

    slug = "messages"
    letter: str | None = TempDataField()

    def get(self) -> None:
        self.show(text=None, waiting=len(self.temp_data.peek("letter", "")))

    def post(self) -> None:
        length = LENGTHS.get(self.get_body_argument("length"), 40)
        self.letter = ("What is read once is gone. " * 400)[:length]
        self.flash(f"A letter of {length:,} characters is waiting.")
        self.redirect("/messages")


class ReadMessage(Page):
    """Reading marks for removal; ``keep()`` takes the mark away."""

    slug = "messages"
    letter: str | None = TempDataField()

    def get(self) -> None:
        text = self.letter
        if self.get_query_argument("keep", None):
            self.temp_data.keep("letter")
        self.show(text=text, waiting=0)


Messages.sources = ReadMessage.sources = (Messages, ReadMessage)
