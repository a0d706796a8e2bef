"""TempDataField binds an attribute to TempData; Flash shows messages once, escaped."""

from typing import Any

import pytest
from tornado.web import RequestHandler, UIModule

from tests.conftest import serve
from tests.temp_data.pages import Page, page, templates
from tornado_session import ConfigurationError, SessionMixin, TempDataField
from tornado_session.temp_data.dictionary import TempData


class Form(Page):
    notice: str | None = TempDataField()
    renamed: str | None = TempDataField("other key")

    async def post(self) -> None:
        self.notice = self.get_argument("notice")
        self.renamed = "renamed"
        self.redirect("/")

    async def get(self) -> None:
        self.write(f"{self.notice} {self.renamed} {self.temp_data.removed_when_saved()}")


async def test_a_field_is_read_once_after_a_redirect() -> None:
    async with serve([("/", Form)]) as site:
        browser = site.browser()

        after_redirect = await browser.fetch("/", method="POST", body="notice=Saved")
        again = await browser.fetch("/")

    assert after_redirect.body == b"Saved renamed ['notice', 'other key']"
    assert again.body == b"None None []"


class Holder(SessionMixin):
    field: Any = TempDataField()

    def __init__(self) -> None:
        self.left = TempData(lambda: {"FIELD": 1, "b": 2}, lambda: None)

    temp_data: Any = property(lambda self: self.left)


def test_a_field_is_the_key_of_its_name_without_regard_to_case() -> None:
    holder = Holder()

    assert holder.field == 1
    assert holder.left.removed_when_saved() == ["FIELD"]

    holder.field = 3
    assert holder.left.peek("field") == 3
    assert holder.left.removed_when_saved() == []


def test_deleting_a_field_deletes_its_key_and_is_no_error_when_there_is_none() -> None:
    holder = Holder()

    del holder.field
    del holder.field

    assert list(holder.left) == ["b"]
    assert holder.field is None


def test_a_field_on_the_class_is_itself() -> None:
    assert Holder.field is vars(Holder)["field"]


def test_a_field_on_a_class_without_the_mixin_is_told_when_the_class_is_made() -> None:
    with pytest.raises((ConfigurationError, RuntimeError)) as caught:
        # Python 3.11 wraps what __set_name__ raises.
        type("Forgetful", (RequestHandler,), {"notice": TempDataField()})

    error = caught.value if isinstance(caught.value, ConfigurationError) else caught.value.__cause__
    assert isinstance(error, ConfigurationError)
    assert str(error) == (
        "Forgetful.notice is a TempDataField, but Forgetful has no temp_data: write class Forgetful(SessionMixin, ...)"
    )


# -- Flash ------------------------------------------------------------------------------------------------------------

SETTINGS = templates(
    {
        "all.html": "{% module Flash() %}",
        "twice.html": "{% module Flash() %}|{% module Flash() %}",
        "error.html": "{% module Flash('error') %}",
        "own.html": "{% module Own() %}{% module Flash() %}",
        "names.html": "{{ temp_data['notice'] }} {{ session.is_new }}",
    }
)


def flashing(*messages: tuple[str, ...]) -> type[Page]:
    def answer(handler: Any) -> None:
        for message in messages:
            handler.flash(*message)
        handler.redirect("/all")

    return page(answer)


def rendering(name: str) -> type[Page]:
    return page(lambda handler: handler.render(name))


def pages(*messages: tuple[str, ...]) -> list[Any]:
    names = ("all", "twice", "error", "own", "names")
    return [("/flash", flashing(*messages)), *((f"/{name}", rendering(f"{name}.html")) for name in names)]


async def test_messages_are_shown_once_with_their_categories_and_in_order() -> None:
    async with serve(pages(("Saved",), ("Careful", "warning")), app_settings=SETTINGS) as site:
        browser = site.browser()

        shown = await browser.fetch("/flash")
        again = await browser.fetch("/all")

    assert shown.body == (
        b'<div class="flash flash-info" role="status">Saved</div>'
        b'<div class="flash flash-warning" role="status">Careful</div>'
    )
    assert again.body == b""


async def test_messages_and_categories_are_escaped() -> None:
    async with serve(pages(("<script>alert(1)</script>", '"><b>')), app_settings=SETTINGS) as site:
        shown = await site.browser().fetch("/flash")

    assert b"<script>" not in shown.body
    assert b"&lt;script&gt;alert(1)&lt;/script&gt;" in shown.body
    assert b'class="flash flash-&quot;&gt;&lt;b&gt;"' in shown.body


async def test_messages_are_escaped_also_where_the_application_does_not_escape() -> None:
    settings = templates({"all.html": "{% module Flash() %}"}, autoescape=None) | {"autoescape": None}
    async with serve([("/flash", flashing(("<b>",))), ("/all", rendering("all.html"))], app_settings=settings) as site:
        shown = await site.browser().fetch("/flash")

    assert b"&lt;b&gt;" in shown.body


async def test_one_category_is_shown_and_the_others_are_kept() -> None:
    async with serve(pages(("Broken", "error"), ("Saved",)), app_settings=SETTINGS) as site:
        browser = site.browser()
        await browser.fetch("/flash", follow_redirects=False)

        errors, errors_again = await browser.fetch("/error"), await browser.fetch("/error")
        rest, nothing = await browser.fetch("/all"), await browser.fetch("/all")

    assert (errors.body.count(b"<div"), b"Broken" in errors.body) == (1, True)
    assert errors_again.body == b""
    assert (rest.body.count(b"<div"), b"Saved" in rest.body) == (1, True)
    assert nothing.body == b""


async def test_a_page_that_shows_another_category_sets_no_cookie() -> None:
    async with serve(pages(("Saved",)), app_settings=SETTINGS) as site:
        browser = site.browser()
        await browser.fetch("/flash", follow_redirects=False)

        shown = await browser.fetch("/error")

    assert shown.body == b""
    assert shown.headers.get_list("Set-Cookie") == []


async def test_messages_of_several_requests_come_together() -> None:
    async with serve(pages(("Saved",)), app_settings=SETTINGS) as site:
        browser = site.browser()
        await browser.fetch("/flash", follow_redirects=False)
        await browser.fetch("/flash", follow_redirects=False)

        shown = await browser.fetch("/twice")

    first, second = shown.body.split(b"|")
    assert first.count(b"Saved") == 2
    assert second == first, "a message stays readable in the request that read it"


async def test_a_message_that_is_flashed_and_shown_in_one_request_is_consumed() -> None:
    def answer(handler: Any) -> None:
        handler.flash("Now")
        handler.render("all.html")

    async with serve([("/now", page(answer)), *pages()], app_settings=SETTINGS) as site:
        browser = site.browser()
        now, later = await browser.fetch("/now"), await browser.fetch("/all")

    assert b"Now" in now.body
    assert later.body == b""
    assert browser.cookies == {}


class Own(UIModule):
    def render(self) -> str:
        return "own module "


class OwnFlash(UIModule):
    def render(self) -> str:
        return "the application's own flash"


async def test_an_application_s_own_modules_stay_and_its_own_flash_wins() -> None:
    for modules, expected in (
        ({"Own": Own}, b'own module <div class="flash flash-info" role="status">Saved</div>'),
        ({"Own": Own, "Flash": OwnFlash}, b"own module the application&#x27;s own flash"),
    ):
        settings = SETTINGS | {"ui_modules": modules}
        async with serve(pages(("Saved",)), app_settings=settings) as site:
            browser = site.browser()
            await browser.fetch("/flash", follow_redirects=False)
            shown = await browser.fetch("/own")

        assert shown.body.replace(b"'", b"&#x27;") == expected


async def test_temp_data_and_session_are_in_the_template_namespace() -> None:
    def answer(handler: Any) -> None:
        handler.temp_data["notice"] = "here"
        handler.render("names.html")

    async with serve([("/", page(answer))], app_settings=SETTINGS) as site:
        assert (await site.browser().fetch("/")).body == b"here True"


@pytest.mark.parametrize("own", ["a text", 5, None, ["a text"], [["only one"]], {"a": 1}])
async def test_a_key_of_the_application_called_flash_is_not_taken_for_messages(own: Any) -> None:
    def keep(handler: Any) -> None:
        handler.temp_data["flash"] = own
        handler.redirect("/all")

    async with serve([("/keep", page(keep)), *pages()], app_settings=SETTINGS) as site:
        shown = await site.browser().fetch("/keep")

    assert (shown.code, shown.body) == (200, b"")
