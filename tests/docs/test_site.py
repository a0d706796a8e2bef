"""The site is built without a warning and without a network, and no link inside of it leads nowhere."""

import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.docs.pages import DOCS

pytest.importorskip("sphinx", reason="the site is built in the environment for documentation")
pytest.importorskip("furo", reason="the site is built in the environment for documentation")


class Page(HTMLParser):
    """The anchors of an HTML page, and what it refers to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors: set[str] = set()
        self.references: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "id" and value:
                self.anchors.add(value)
            if (name, tag) in (("href", "a"), ("src", "img"), ("href", "link"), ("src", "script")) and value:
                self.references.append(value)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> dict[Path, Page]:
    target = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", str(DOCS), str(target)]
    outcome = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert outcome.returncode == 0, outcome.stderr
    return {path: Page(path) for path in sorted(target.rglob("*.html"))}


def broken_references(site: dict[Path, Page]) -> Iterator[str]:
    for page in site.values():
        for reference in page.references:
            parts = urlsplit(reference)
            if parts.scheme or parts.netloc:
                continue
            target = (page.path.parent / unquote(parts.path)).resolve() if parts.path else page.path
            anchors = site[target].anchors if target in site else {unquote(parts.fragment)}
            if not target.exists() or (parts.fragment and unquote(parts.fragment) not in anchors):
                yield f"{page.path.name}: {reference}"


def test_no_link_inside_of_the_site_leads_nowhere(site: dict[Path, Page]) -> None:
    assert list(broken_references(site)) == []


def test_a_broken_link_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    path.write_text('<a href="#here" id="here">good</a><a href="#there">bad</a><img src="none.png">')

    assert list(broken_references({path: Page(path)})) == ["page.html: #there", "page.html: none.png"]


def test_every_page_is_in_the_site(site: dict[Path, Page]) -> None:
    names = {path.name for path in site}

    assert [page.name for page in DOCS.rglob("*.md") if page.with_suffix(".html").name not in names] == []


def test_diagrams_are_drawn_into_the_pages_and_need_no_script(site: dict[Path, Page]) -> None:
    architecture = next(page for path, page in site.items() if path.name == "architecture.html")
    text = architecture.path.read_text()

    assert text.count('<svg xmlns="http://www.w3.org/2000/svg" role="img" aria-label=') == 4
    assert "mermaid" not in text


def test_option_tables_show_the_defaults_that_stand_in_the_code(site: dict[Path, Page]) -> None:
    options = next(path for path in site if path.name == "options.html").read_text()

    for default in ("20 minutes", "5 seconds", "3800", "7168", "200 MiB", ".Tornado.TempData"):
        assert default in options
