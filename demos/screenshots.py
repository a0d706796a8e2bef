"""Screenshots: the pictures of the tour that the README and the documentation show.

``python -m demos.screenshots`` makes them anew, in ``docs/_static/screenshots``. Needs Playwright and a Chromium
(``CHROMIUM``, default /usr/bin/chromium).
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import Browser, Page, sync_playwright

from demos.running import running

FOLDER: Final = Path(__file__).parents[1] / "docs" / "_static" / "screenshots"
CHROMIUM: Final = os.environ.get("CHROMIUM", "/usr/bin/chromium")
_FLAGS: Final = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DESKTOP: Final = (1280, 800)
PHONE: Final = (375, 812)


@contextmanager
def chromium() -> Iterator[Browser]:
    """A headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(_FLAGS))
        try:
            yield browser
        finally:
            browser.close()


# -- what is pictured -------------------------------------------------------------------------------------------------


def _home(page: Page) -> None:
    page.goto("/")


def _cart(page: Page) -> None:
    page.goto("/cart")
    for product in ("Sencha", "Sencha", "Glass teapot"):
        page.get_by_role("button", name=f"Add {product}").click()
    page.locator(".shop").evaluate("shop => shop.scrollIntoView()")


def _inspector(page: Page) -> None:
    _cart(page)
    page.locator(".inspector").evaluate("panel => panel.scrollIntoView()")


def _messages(page: Page) -> None:
    page.goto("/messages")
    page.get_by_role("button", name="4,500").click()
    page.locator(".inspector").evaluate("panel => panel.scrollIntoView({block: 'end'})")


def _devices(page: Page) -> None:
    page.goto("/devices")
    page.get_by_label("Name").fill("demo")
    page.get_by_label("Password").fill("correct horse")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Your devices").wait_for()


def _parallel(page: Page) -> None:
    page.goto("/parallel")
    page.get_by_role("button", name="Last write wins").click()
    page.get_by_text("20 sent").wait_for()
    page.locator("#parallel").scroll_into_view_if_needed()


def _outage(page: Page) -> None:
    page.goto("/outage")
    page.get_by_label("Does not answer").check()
    page.get_by_role("button", name="Let it be so").click()
    page.get_by_role("button", name="Try all six").click()
    page.get_by_text("All six were tried.").wait_for(state="attached")
    page.locator("#policies").scroll_into_view_if_needed()


_SCENES: Final[dict[str, Callable[[Page], None]]] = {
    "home": _home,
    "cart": _cart,
    "inspector": _inspector,
    "messages": _messages,
    "devices": _devices,
    "parallel": _parallel,
    "outage": _outage,
}


def take(browser: Browser, url: str, folder: Path) -> None:
    """Take every picture: all on a desktop in light, some in dark and on a phone."""
    looks = [(name, DESKTOP, "light") for name in _SCENES]
    looks += [("home", DESKTOP, "dark"), ("inspector", DESKTOP, "dark")]
    looks += [("home", PHONE, "light"), ("cart", PHONE, "dark"), ("inspector", PHONE, "light")]
    for name, (width, height), scheme in looks:
        context = browser.new_context(
            base_url=url,
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
            reduced_motion="reduce",
        )
        page = context.new_page()
        _SCENES[name](page)
        device = "phone" if width < 600 else "desktop"
        page.screenshot(path=folder / f"{name}-{device}-{scheme}.png")
        context.close()


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    with running("tour") as url, chromium() as browser:
        take(browser, url, FOLDER)
    for picture in sorted(FOLDER.glob("*.png")):
        print(f"{picture.stat().st_size // 1024:4} KiB  {picture.name}")


if __name__ == "__main__":
    main()
