"""Every example of the documentation does what its page says."""

import asyncio
from pathlib import Path

import pytest

from tests.docs.pages import Block, Reader, all_pages, blocks, name_of

RUNNABLE = ("python", "pycon")
WITH_EXAMPLES = [page for page in all_pages() if any(block.language in RUNNABLE for block in blocks(page))]


@pytest.mark.parametrize("page", WITH_EXAMPLES, ids=name_of)
def test_the_examples_of_a_page_run_from_top_to_bottom(page: Path) -> None:
    for name in ("pymongo", "redis", "sqlalchemy"):
        if f"import {name}" in page.read_text() or f"from {name}" in page.read_text():
            pytest.importorskip(name)

    assert asyncio.run(Reader(page).read()) > 0


def test_a_block_that_fails_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nraise KeyError('noticed')\n```\n")

    with pytest.raises(KeyError, match="noticed"):
        asyncio.run(Reader(page).read())


def test_an_answer_that_differs_from_the_page_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```python\nimport tornado.web\napp = tornado.web.Application([])\n```\n"
        "```console\n$ curl -i http://127.0.0.1:8888/\nHTTP/1.1 200 OK\n```\n"
    )

    with pytest.raises(AssertionError, match=r"no 'HTTP/1\.1 200 OK' in"):
        asyncio.run(Reader(page).read())


def test_a_dialogue_that_differs_from_the_page_is_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```pycon\n>>> 1 + 1\n3\n```\n")

    with pytest.raises(AssertionError, match="Expected"):
        asyncio.run(Reader(page).read())


def test_blocks_inside_of_directives_are_found_with_their_lines(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("text\n\n::::{tab}\n```python\npass\n```\n::::\n")

    assert list(blocks(page)) == [Block("python", 5, "pass\n")]


def test_the_pages_are_found() -> None:
    assert len(WITH_EXAMPLES) >= 10
