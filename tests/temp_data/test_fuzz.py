"""Whatever a browser sends as TempData: a page, empty TempData, pieces deleted, one warning, no secret in it."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tornado.httpclient import AsyncHTTPClient, HTTPResponse

from tests.conftest import SECRET, Site, serve
from tests.temp_data.pages import deleted_names, page, set_names
from tornado_session import CookieTempDataProvider

NAME = ".Tornado.TempData"
TEXT = "the text that nobody is to see " * 20
# Over HTTP, and with a log to be read at each example, a hundred examples take a while.
over_http = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)


def answer(handler: Any) -> None:
    handler.write(f"{len(handler.temp_data)} {handler.temp_data.get('text', '')}")


def leave(handler: Any) -> None:
    handler.temp_data["text"] = TEXT


class Running:
    """One site for all examples, on a loop of its own, and the cookies of two genuine writes."""

    def __init__(self, loop: asyncio.AbstractEventLoop, site: Site) -> None:
        self.loop = loop
        self.site = site
        self.one = self.written()
        self.other = self.written()

    def written(self) -> dict[str, str]:
        browser = self.site.browser()
        self.loop.run_until_complete(browser.fetch("/leave"))
        return browser.cookies

    def get(self, cookies: str | list[tuple[str, str]]) -> HTTPResponse:
        header = cookies if isinstance(cookies, str) else "; ".join(f"{name}={value}" for name, value in cookies)
        # Each example is a minute of its own: warnings of one kind are limited to one in a minute.
        self.site.clock.advance(timedelta(minutes=1))

        async def fetch() -> HTTPResponse:
            return await AsyncHTTPClient().fetch(
                self.site.base_url + "/", headers={"Cookie": header}, raise_error=False
            )

        return self.loop.run_until_complete(fetch())


@pytest.fixture(scope="module")
def running() -> Iterator[Running]:
    loop = asyncio.new_event_loop()
    stack = AsyncExitStack()
    provider = CookieTempDataProvider(chunk_size=256, max_size=2560, max_age=timedelta(days=365))
    handlers = [("/", page(answer)), ("/leave", page(leave))]
    try:
        site = loop.run_until_complete(stack.enter_async_context(serve(handlers, temp_data=provider)))
        yield Running(loop, site)
    finally:
        loop.run_until_complete(stack.aclose())
        loop.close()


def assert_harmless(response: HTTPResponse, sent: list[tuple[str, str]], log: pytest.LogCaptureFixture) -> None:
    assert response.code == 200
    assert response.body == b"0 "
    assert set_names(response) == []
    pieces = {name for name, _ in sent}
    assert sorted(deleted_names(response)) == sorted(pieces)
    warnings = [record.getMessage() for record in log.records if record.levelno >= logging.WARNING]
    assert len(warnings) == (1 if pieces else 0)
    for warning in warnings:
        assert warning.startswith("TempData in cookies was dropped: ")
        assert len(warning) < 300
        assert SECRET not in warning
        assert not any(value in warning for _, value in sent if len(value) > 8)


# What a Cookie header can carry: bytes that are neither controls nor the separators, as Latin-1.
COOKIE_TEXT = st.text(
    st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters=';"\x7f', exclude_categories=["Cc", "Zs"]),
    max_size=200,
)
PIECES = st.sampled_from([NAME, *(f"{NAME}C{number}" for number in range(13))])
COUNTS = st.one_of(
    st.integers(-5, 10**25).map(lambda number: f"chunks-{number}"),
    st.text(st.sampled_from("0123456789+-_. chunks"), max_size=12).map(lambda text: f"chunks-{text.strip()}"),
)


@over_http
@given(st.dictionaries(PIECES, COOKIE_TEXT | COUNTS, min_size=1, max_size=8))
def test_any_text_in_any_of_the_cookies(
    running: Running, caplog: pytest.LogCaptureFixture, cookies: dict[str, str]
) -> None:
    caplog.clear()
    sent = list(cookies.items())

    assert_harmless(running.get(sent), sent, caplog)


@over_http
@given(st.data())
def test_any_subset_order_and_duplication_of_genuine_pieces(
    running: Running, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    caplog.clear()
    genuine = [*running.one.items(), *running.other.items()]
    sent = data.draw(st.lists(st.sampled_from(genuine), max_size=20))

    response = running.get(sent)

    # Tornado takes the last of two cookies of one name.
    if dict(sent) in (running.one, running.other):
        assert response.body.decode() == f"1 {TEXT}"
    else:
        assert_harmless(response, sent, caplog)


@over_http
@given(st.data())
def test_genuine_pieces_exchanged_among_themselves(
    running: Running, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    caplog.clear()
    values = data.draw(st.permutations(list(running.one.values())))
    sent = list(zip(running.one, values, strict=True))

    response = running.get(sent)

    if dict(sent) == running.one:
        assert response.body.decode() == f"1 {TEXT}"
    else:
        assert_harmless(response, sent, caplog)


@over_http
@given(st.data())
def test_a_genuine_set_with_one_character_changed(
    running: Running, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    caplog.clear()
    name = data.draw(st.sampled_from(list(running.one)))
    value = running.one[name]
    place = data.draw(st.integers(0, len(value) - 1))
    character = data.draw(st.sampled_from("ABab01-_=.+/~\u00e9").filter(lambda other: other != value[place]))
    sent = list((running.one | {name: value[:place] + character + value[place + 1 :]}).items())

    assert_harmless(running.get(sent), sent, caplog)


@over_http
@given(st.data())
def test_a_genuine_set_cut_or_longer_somewhere(
    running: Running, caplog: pytest.LogCaptureFixture, data: st.DataObject
) -> None:
    caplog.clear()
    name = data.draw(st.sampled_from(list(running.one)))
    value = running.one[name]
    end = data.draw(st.integers(0, len(value) - 1))
    more = data.draw(st.sampled_from(["", "=", "==", "A"]))
    changed = value[:end] + more
    sent = list((running.one | {name: changed}).items())
    if changed == value:
        return

    assert_harmless(running.get(sent), sent, caplog)


@over_http
@given(st.binary(max_size=300))
def test_any_bytes_as_the_whole_header_are_answered(running: Running, data: bytes) -> None:
    header = "".join(chr(byte) for byte in data if byte >= 0x20 and byte != 0x7F)

    response = running.get(header)

    assert (response.code, response.body) == (200, b"0 ")
    assert set_names(response) == []


@over_http
@given(st.lists(st.tuples(PIECES, st.from_regex(r'\A"(\\[0-3][0-7][0-7]|[a-z0-9])*"\Z')), max_size=4))
def test_quoted_values_with_octal_escapes_are_answered(running: Running, sent: list[tuple[str, str]]) -> None:
    response = running.get(sent)

    assert (response.code, response.body) == (200, b"0 ")
    assert sorted(deleted_names(response)) == sorted({name for name, _ in sent})
