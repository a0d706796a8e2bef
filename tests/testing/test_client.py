"""CookieClient keeps cookies as a browser does."""

from typing import Any

import pytest
from tornado.web import RequestHandler

from tests.conftest import serve


class Echo(RequestHandler):
    """Answers with the cookies that came; sets those of the query: ``?set=...``."""

    def get(self) -> None:
        for line in self.get_arguments("set"):
            self.add_header("Set-Cookie", line)
        self.write(self.request.headers.get("Cookie", ""))

    def post(self) -> None:
        self.get()
        self.redirect(self.get_argument("to"), status=int(self.get_argument("status", "302")))


HANDLERS: list[Any] = [("/.*", Echo)]


def query(*lines: str) -> str:
    from urllib.parse import urlencode

    return urlencode([("set", line) for line in lines])


async def test_cookies_come_back_and_those_of_two_browsers_do_not_mix() -> None:
    async with serve(HANDLERS) as site:
        one, other = site.browser(), site.browser()
        await one.fetch(f"/?{query('a=1; Path=/', 'b=2')}")
        await other.fetch(f"/?{query('a=other; Path=/; HttpOnly')}")

        assert (await one.fetch("/")).body == b"a=1; b=2"
        assert (await other.fetch("/deep/down")).body == b"a=other"
        assert one.cookies == {"a": "1", "b": "2"}
        assert [cookie.line for cookie in other.stored_cookies] == ["a=other; Path=/; HttpOnly"]


async def test_a_cookie_goes_to_its_path_and_below_and_the_longest_path_comes_first() -> None:
    async with serve(HANDLERS) as site:
        browser = site.browser()
        await browser.fetch(f"/?{query('a=root; Path=/', 'a=shop; Path=/shop', 'b=cart; Path=/shop/cart/')}")

        for path, expected in (
            ("/", b"a=root"),
            ("/shopping", b"a=root"),
            ("/shop", b"a=shop; a=root"),
            ("/shop/x?y=/z", b"a=shop; a=root"),
            ("/shop/cart/1", b"b=cart; a=shop; a=root"),
        ):
            assert (await browser.fetch(path)).body == expected


@pytest.mark.parametrize(
    "deletion", ["a=; Path=/; Max-Age=0", "a=; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT", "a=; max-age=0; path=/"]
)
async def test_a_cookie_is_deleted_with_its_name_and_path(deletion: str) -> None:
    async with serve(HANDLERS) as site:
        browser = site.browser()
        await browser.fetch(f"/?{query('a=1; Path=/', 'b=2; Path=/')}")

        await browser.fetch(f"/?{query(deletion)}")

        assert browser.cookies == {"b": "2"}


async def test_a_deletion_for_another_path_deletes_nothing() -> None:
    async with serve(HANDLERS) as site:
        browser = site.browser()
        await browser.fetch(f"/?{query('a=1; Path=/', 'a=; Path=/shop; Max-Age=0')}")

        assert browser.cookies == {"a": "1"}


@pytest.mark.parametrize("status", [301, 302, 303])
async def test_a_redirect_is_followed_with_get_and_the_cookies_of_each_answer(status: int) -> None:
    async with serve(HANDLERS) as site:
        browser = site.browser()

        response = await browser.fetch(f"/?{query('a=1; Path=/')}", method="POST", body=f"to=/there&status={status}")

        assert (response.code, response.body) == (200, b"a=1")
        assert response.effective_url == f"{site.base_url}/there"


async def test_a_redirect_may_be_left_alone() -> None:
    async with serve(HANDLERS) as site:
        response = await site.browser().fetch("/", method="POST", body="to=/there", follow_redirects=False)

    assert (response.code, response.headers["Location"]) == (302, "/there")


async def test_redirects_in_a_circle_end() -> None:
    class Circle(RequestHandler):
        def get(self) -> None:
            self.redirect("/")

    async with serve([("/", Circle)]) as site:
        assert (await site.browser().fetch("/")).code == 302


async def test_an_error_answer_is_no_exception_and_no_answer_is_one() -> None:
    class Broken(RequestHandler):
        def get(self) -> None:
            self.set_status(503)

    async with serve([("/", Broken)]) as site:
        browser = site.browser()
        assert (await browser.fetch("/")).code == 503

    with pytest.raises(OSError, match=r"refused|Connect"):
        await browser.fetch("/")


async def test_the_jar_can_be_filled_emptied_and_sent_by_hand() -> None:
    async with serve(HANDLERS) as site:
        browser = site.browser()
        assert browser.cookie_header("/") == {}
        browser.set_cookie("a", "1")
        browser.set_cookie("b", "2", path="/shop")

        assert browser.cookie_header("/") == {"Cookie": "a=1"}
        assert browser.cookie_header("/shop") == {"Cookie": "b=2; a=1"}
        assert (await browser.fetch("/", headers={"Cookie": "by=hand"})).body == b"by=hand"

        browser.delete_cookie("a")
        assert browser.cookies == {"b": "2"}
