"""Items live as long as their request; an ItemKey is equal to itself alone."""

from typing import Any

from tests.conftest import serve
from tests.temp_data.pages import page
from tornado_session import ItemKey


def test_two_keys_of_one_name_are_two_keys() -> None:
    one, other = ItemKey[int]("user"), ItemKey[int]("user")
    items = {one: 1, other: 2, "user": 3}

    assert (items[one], items[other], items["user"]) == (1, 2, 3)
    assert one == one
    assert one != other


def test_a_key_shows_its_name() -> None:
    assert repr(ItemKey[int]("current user")) == "ItemKey('current user')"


async def test_items_are_shared_within_a_request_and_gone_with_it() -> None:
    key = ItemKey[str]("name")
    seen: list[Any] = []

    def answer(handler: Any) -> None:
        seen.append((dict(handler.items), handler.items.get(key, "default")))
        handler.items[key] = "value"
        handler.items["text"] = 1
        seen.append((handler.items[key], handler.items is handler.items, len(handler.items)))

    async with serve([("/", page(answer))]) as site:
        browser = site.browser()
        responses = [await browser.fetch("/"), await browser.fetch("/")]

        assert seen == [({}, "default"), ("value", True, 2)] * 2
        assert all(response.headers.get_list("Set-Cookie") == [] for response in responses)
        assert site.calls == []


async def test_items_need_no_loaded_session() -> None:
    def answer(handler: Any) -> None:
        handler.items["a"] = 1
        handler.write(f"{handler.items['a']}")

    async with serve([("/", page(answer, session_autoload=False))]) as site:
        assert (await site.browser().fetch("/")).body == b"1"
        assert site.calls == []
