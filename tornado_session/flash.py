"""Flash: messages for the visitor's next page."""

from typing import Any, Final, cast

from tornado.template import Template
from tornado.web import UIModule

from tornado_session.temp_data.dictionary import TempData

FLASH_KEY: Final = ".Flash"
"""The key in TempData that holds the messages, a list of ``[category, message]``; not "flash", which is anybody's."""

_TEMPLATE: Final = Template(
    '{% for category, message in messages %}<div class="flash flash-{{ category }}" role="status">{{ message }}</div>'
    "{% end %}",
    autoescape="xhtml_escape",
)


def add_flash(temp_data: TempData, message: str, category: str) -> None:
    """Append a message to those for the next page."""
    temp_data[FLASH_KEY] = [*temp_data.peek(FLASH_KEY, []), [category, message]]


class Flash(UIModule):
    """``{% module Flash() %}``: show the messages in TempData, escaped, and consume them.

    ``{% module Flash("error") %}`` shows one category and keeps the others. Each message is a ``div`` with the classes
    ``flash`` and ``flash-CATEGORY``, and ``role="status"``, which screen readers read out.
    """

    def render(self, category: str | None = None) -> bytes:
        # ``self.handler`` is any RequestHandler to Tornado's types; one with the mixin has the attribute.
        temp_data: TempData = cast("Any", self.handler).temp_data
        messages = temp_data.get(FLASH_KEY, [])
        shown = [message for message in messages if category in (None, message[0])]
        left = [message for message in messages if message not in shown]
        if left:
            temp_data[FLASH_KEY] = left
        return _TEMPLATE.generate(messages=shown)
