"""The pages of the documentation, taken apart into the blocks that they show, and a reader who follows them."""

import ast
import doctest
import inspect
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any

from tornado.httpclient import HTTPResponse
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import RequestHandler

from tornado_session.testing import CookieClient

DOCS = Path(__file__).parents[2] / "docs"
_FENCE = re.compile(r"^ *(`{3,}|:{3,})(\{?[\w-]*\}?)[^`\n]*\n(.*?)^ *\1 *$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    line: int
    text: str


def all_pages() -> list[Path]:
    """Every page of the site."""
    return sorted(page for page in DOCS.rglob("*.md") if "_" not in page.relative_to(DOCS).parts[0][:1])


def name_of(page: Path) -> str:
    """The page's place below ``docs``, as a test's id."""
    return str(page.relative_to(DOCS))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, also those inside of other blocks, with the line at which each begins."""
    yield from _blocks(page.read_text(), 1)


def _blocks(text: str, first_line: int) -> Iterator[Block]:
    for match in _FENCE.finditer(text):
        line = first_line + text.count("\n", 0, match.start(3))
        if match[2].startswith("{"):
            yield from _blocks(match[3], line)
        else:
            yield Block(match[2], line, dedent(match[3]))


class Reader:
    """Runs a page from top to bottom: its ``python`` blocks are one program, its ``curl`` commands are sent to it.

    The program's ``app``, or what its ``make_app()`` returns, is served. In what a page shows as an answer, ``…``
    stands for anything, and lines may be left out.
    """

    def __init__(self, page: Path) -> None:
        self._page = page
        self._names: dict[str, Any] = {"__name__": "page"}
        self._served: Any = None
        self._server: HTTPServer | None = None
        self._base_url = ""
        self._jars: dict[str, CookieClient] = {}

    async def read(self) -> int:
        """Run everything that can be run; return how many blocks that were."""
        count = 0
        try:
            for block in blocks(self._page):
                count += await self._run(block)
        finally:
            await self._stop()
        return count

    async def _run(self, block: Block) -> int:
        if block.language == "python":
            await self._execute(block)
        elif block.language == "pycon":
            self._check_dialogue(block)
        elif block.language == "console" and block.text.startswith("$ curl"):
            await self._ask(block)
        else:
            return 0
        return 1

    async def _execute(self, block: Block) -> None:
        source = "\n" * (block.line - 1) + block.text
        code = compile(source, str(self._page), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
        outcome = eval(code, self._names)
        if inspect.isawaitable(outcome):
            await outcome

    def _check_dialogue(self, block: Block) -> None:
        dialogue = doctest.DocTestParser().get_doctest(block.text, self._names, str(self._page), None, block.line)
        report: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
        runner.run(dialogue, out=report.append, clear_globs=False)
        self._names.update(dialogue.globs)
        assert not report, f"{self._page}:{block.line}\n{''.join(report)}"

    async def _ask(self, block: Block) -> None:
        await self._serve()
        for command in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
            line, _, answer = command.partition("\n")
            shown = [text for text in answer.splitlines() if text.strip()]
            given = await self._curl(shlex.split(line)[1:])
            missing = _first_missing(shown, given)
            given_text = "\n".join(given)
            assert missing is None, f"{self._page}:{block.line}: $ {line}\nno {missing!r} in\n{given_text}"

    async def _curl(self, arguments: list[str]) -> list[str]:
        options, url, request = _parsed(arguments)
        jar = options.get("-b") or options.get("-c")
        client = self._jars.setdefault(jar, CookieClient(self._base_url)) if jar else CookieClient(self._base_url)
        path = url.partition(":8888")[2] or "/"
        response = await client.fetch(path, follow_redirects="-L" in options, **request)
        return _printed(response, with_headers="-i" in options)

    async def _serve(self) -> None:
        app = self._names["app"] if "app" in self._names else self._names["make_app"]
        if app is self._served:
            return
        await self._stop()
        self._served = app
        # Tornado keeps template loaders by folder, and all pages lie in one.
        RequestHandler._template_loaders.clear()
        self._server = HTTPServer(app if "app" in self._names else app())
        socket, port = bind_unused_port()
        self._server.add_socket(socket)
        self._base_url = f"http://127.0.0.1:{port}"
        self._jars.clear()

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.stop()
            await self._server.close_all_connections()
            self._server = None


_WITH_VALUE = {"-b", "-c", "-d", "-H", "-X", "-o"}


def _parsed(arguments: list[str]) -> tuple[dict[str, str], str, dict[str, Any]]:
    options: dict[str, str] = {}
    headers: dict[str, str] = {}
    request: dict[str, Any] = {}
    url = ""
    words = iter(arguments)
    for word in words:
        value = next(words) if word in _WITH_VALUE else ""
        if word == "-H":
            name, _, text = value.partition(":")
            headers[name] = text.strip()
        elif word == "-d":
            request |= {"method": "POST", "body": value}
        elif word == "-X":
            request |= {"method": value, "allow_nonstandard_methods": True}
        elif word.startswith("-"):
            options[word] = value
        else:
            url = word
    return options, url, request | {"headers": headers}


def _printed(response: HTTPResponse, *, with_headers: bool) -> list[str]:
    body = response.body.decode().splitlines()
    if not with_headers:
        return body
    headers = [f"{name}: {value}" for name, value in response.headers.get_all()]
    return [f"HTTP/1.1 {response.code} {response.reason}", *headers, "", *body]


def _first_missing(shown: list[str], given: list[str]) -> str | None:
    """The first shown line that does not come, in order, among the given; ``None`` if all do."""
    remaining = iter(given)
    for line in shown:
        pattern = re.compile(".*".join(re.escape(part) for part in line.strip().split("…")))
        if not any(pattern.fullmatch(candidate.strip()) for candidate in remaining):
            return line
    return None
