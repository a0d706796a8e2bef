"""The tour in a real browser: every page, its accessibility, its console, and the stories that need one."""

from collections.abc import Callable
from typing import Any, Literal

import pytest

pytest.importorskip("axe_playwright_python", reason="browser tests need: pip install axe-playwright-python")

from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Browser, BrowserContext, Page, expect

from demos.tour.app import TOPICS

DESKTOP, PHONE = 1280, 375
PATHS = ["/", *(topic.path for topic in TOPICS)]
RULES = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"], "resultTypes": ["violations"]}


@pytest.fixture
def page(context: BrowserContext) -> Page:
    return context.new_page()


def watched(page: Page) -> list[str]:
    """What the page complains about from now on."""
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type != "info" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    return complaints


def violations(page: Page) -> list[str]:
    found: list[dict[str, Any]] = Axe().run(page, options=RULES).response["violations"]
    return [f"{each['id']}: {[node['target'] for node in each['nodes']]}" for each in found]


def tempdata_cookies(context: BrowserContext) -> set[str]:
    return {cookie["name"] for cookie in context.cookies() if cookie["name"].startswith(".Tornado.TempData")}


def test_what_is_not_accessible_is_found(page: Page) -> None:
    page.set_content('<html><title>x</title><input><p style="color: #999; background: #fff">pale</p></html>')

    found = " ".join(violations(page))

    assert "label" in found
    assert "color-contrast" in found
    assert "html-has-lang" in found


# -- every page -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [DESKTOP, PHONE])
def test_every_page_is_accessible_fits_and_logs_no_error(
    browser: Browser, memory_tour: str, width: int, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        base_url=memory_tour, viewport={"width": width, "height": 860}, color_scheme=scheme, reduced_motion="reduce"
    )
    page = context.new_page()
    complaints = watched(page)
    problems: dict[str, Any] = {}

    for path in PATHS:
        page.goto(path)
        sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        if found := (violations(page), sideways) != ([], 0):
            problems[path] = found
    context.close()

    assert problems == {}
    assert complaints == []


def test_every_page_answers_on_every_store_and_logs_no_error(page: Page) -> None:
    complaints = watched(page)
    statuses = {}

    for path in PATHS:
        answer = page.goto(path)
        assert answer is not None
        statuses[path] = answer.status

    assert statuses == dict.fromkeys(PATHS, 200)
    assert complaints == []


@pytest.mark.parametrize("accent", ["Pine", "Plum", "Ochre"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_accent_has_contrast(
    browser: Browser, memory_tour: str, accent: str, scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(base_url=memory_tour, color_scheme=scheme, reduced_motion="reduce")
    page = context.new_page()
    page.goto("/cookies")
    page.get_by_label(accent).check()
    page.get_by_role("button", name="Keep both").click()
    expect(page.get_by_label(accent)).to_be_checked()

    found = violations(page)
    context.close()

    assert found == []


def _filled_cart(page: Page) -> None:
    page.goto("/cart")
    page.get_by_role("button", name="Add Sencha").click()


def _signed_in(page: Page) -> None:
    page.goto("/devices")
    page.get_by_label("Name").fill("demo")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("status")).to_be_visible()
    page.get_by_label("Name").fill("demo")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="Your devices, demo")).to_be_visible()


def _refused_offer(page: Page) -> None:
    page.goto("/hidden")
    page.get_by_role("button", name="one character changed").click()
    expect(page.get_by_role("status")).to_have_text("Refused: we made no such offer.")


def _outage(page: Page) -> None:
    page.goto("/outage")
    page.get_by_label("Does not answer").check()
    page.get_by_role("button", name="Let it be so").click()
    page.goto("/cart")
    expect(page.get_by_text("An outage, for you alone")).to_be_visible()


def _letter(page: Page) -> None:
    page.goto("/messages")
    page.get_by_role("button", name="4,500").click()
    expect(page.get_by_text("One of 4,500 characters is waiting.")).to_be_visible()


def _delivery(page: Page) -> None:
    page.goto("/checkout/address")
    for label in ("Name", "Street and number", "Town"):
        page.get_by_label(label).fill("here")
    page.get_by_role("button", name="On to delivery").click()
    expect(page.get_by_text("How fast?")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("reach", [_filled_cart, _signed_in, _refused_offer, _outage, _letter, _delivery])
def test_a_page_in_use_is_accessible(
    browser: Browser, memory_tour: str, reach: Callable[[Page], None], scheme: Literal["light", "dark"]
) -> None:
    context = browser.new_context(
        base_url=memory_tour, color_scheme=scheme, viewport={"width": PHONE, "height": 812}, reduced_motion="reduce"
    )
    page = context.new_page()
    reach(page)

    found = violations(page)
    sideways = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    context.close()

    assert (found, sideways) == ([], 0)


def test_the_keyboard_skips_to_the_page_and_opens_the_menu(browser: Browser, memory_tour: str) -> None:
    context = browser.new_context(base_url=memory_tour, viewport={"width": PHONE, "height": 812})
    page = context.new_page()
    page.goto("/cart")

    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    focused = page.evaluate("document.activeElement.id")
    page.goto("/counter")
    for _ in range(3):
        page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    menu = page.get_by_role("navigation", name="Pages", exact=True)
    is_open = menu.is_visible()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Query strings")
    context.close()

    assert focused == "main"
    assert is_open


# -- stories ----------------------------------------------------------------------------------------------------------


def test_a_long_letter_travels_in_chunks_that_no_script_sees_and_is_gone_once_read(
    context: BrowserContext, page: Page
) -> None:
    complaints = watched(page)
    page.goto("/messages")
    page.get_by_role("button", name="4,500").click()
    expect(page.get_by_text("A letter of 4,500 characters is waiting.")).to_be_visible()
    chunks = tempdata_cookies(context)
    seen_by_scripts = page.evaluate("document.cookie")

    page.get_by_role("link", name="Read it", exact=True).click()
    expect(page.get_by_text("4,500 characters were read.")).to_be_visible()
    left = tempdata_cookies(context)
    page.reload()
    expect(page.get_by_text("There is none.")).to_be_visible()

    assert chunks == {".Tornado.TempData", ".Tornado.TempDataC1", ".Tornado.TempDataC2"}
    assert seen_by_scripts == ""
    assert left == set()
    assert complaints == []


def test_a_longer_letter_goes_to_the_session_and_may_be_kept(context: BrowserContext, page: Page) -> None:
    page.goto("/messages")
    page.get_by_role("button", name="9,000").click()
    expect(page.get_by_text("One of 9,000 characters is waiting.")).to_be_visible()
    cookies = tempdata_cookies(context)

    page.get_by_role("link", name="Read it and keep it").click()
    expect(page.get_by_text("9,000 characters were read.")).to_be_visible()
    page.get_by_role("link", name="Back to the letter box").click()
    expect(page.get_by_text("One of 9,000 characters is waiting.")).to_be_visible()

    assert cookies == set()


def test_a_laptop_signs_a_phone_out(browser: Browser, tour: str) -> None:
    contexts = [browser.new_context(base_url=tour) for _ in range(2)]
    laptop, phone = (context.new_page() for context in contexts)
    phone.goto("/counter")
    before = {cookie["name"]: cookie["value"] for cookie in contexts[1].cookies()}
    _signed_in(laptop)
    laptop.get_by_role("button", name="Sign out everywhere else").click()
    _signed_in(phone)
    after = {cookie["name"]: cookie["value"] for cookie in contexts[1].cookies()}

    laptop.reload()
    expect(laptop.get_by_role("button", name="Sign out Chrome")).to_have_count(2)
    laptop.get_by_role("button", name="Sign out everywhere else").click()
    expect(laptop.get_by_text("Signed out on other devices: 1.")).to_be_visible()
    expect(laptop.get_by_role("button", name="Sign out Chrome")).to_have_count(1)
    phone.reload()
    expect(phone.get_by_role("button", name="Sign in")).to_be_visible()
    for context in contexts:
        context.close()

    assert before[".Tornado.Session"] != after[".Tornado.Session"]
    assert before["_xsrf"] != after["_xsrf"]


@pytest.mark.parametrize(("button", "keeps_all"), [("Merge", True), ("Last write wins", False), ("Add to one", True)])
def test_twenty_parallel_writes_are_kept_or_lost_as_the_policy_says(page: Page, button: str, keeps_all: bool) -> None:
    complaints = watched(page)
    page.goto("/parallel")
    page.get_by_role("button", name=button).click()
    outcome = page.get_by_text("20 sent, 20 answered with success")
    expect(outcome).to_be_visible()

    text = outcome.inner_text()

    assert ("20 kept, 0 lost" in text) is keeps_all
    assert complaints == []


def test_the_inspector_learns_of_the_commit_that_came_after_the_page_was_made(page: Page) -> None:
    page.goto("/counter")

    expect(page.locator("#commit")).to_contain_text("Stored before the response left: add, stored,")
    expect(page.locator("#trips")).to_contain_text("after the page was made")


def test_an_outage_shows_each_policy_and_ends(page: Page) -> None:
    page.goto("/outage")
    page.get_by_label("Does not answer").check()
    page.get_by_role("button", name="Let it be so").click()
    page.get_by_role("button", name="Try all six").click()
    expect(page.get_by_text("All six were tried.")).to_be_attached()

    def outcome(policy: str, method: str) -> str:
        return page.locator(f'[data-try="{policy}"][data-method="{method}"]').inner_text()

    told = {
        (policy, method): outcome(policy, method)
        for policy in ("read_only", "fail", "ignore")
        for method in ("GET", "POST")
    }
    page.goto("/counter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Service Unavailable")
    page.get_by_role("button", name="End it").click()
    page.goto("/counter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Visit counter")

    assert told["read_only", "GET"].startswith("empty")
    assert told["read_only", "POST"].startswith("error page 503")
    assert told["fail", "GET"].startswith("error page 503")
    assert told["fail", "POST"].startswith("error page 503")
    assert told["ignore", "GET"].startswith("empty")
    assert told["ignore", "POST"].startswith("dropped")


def test_an_order_goes_through_its_three_steps(page: Page) -> None:
    _filled_cart(page)
    _delivery(page)
    page.get_by_label("By bicycle").check()
    page.get_by_role("button", name="On to the review").click()
    page.get_by_role("button", name="Place the order").click()

    expect(page.get_by_text("Thank you. Your order")).to_be_visible()
    expect(page.get_by_text("It is empty.")).to_be_visible()
    page.reload()
    expect(page.get_by_text("Thank you. Your order")).to_have_count(0)
