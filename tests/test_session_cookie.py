"""The session's cookie is opened once for each ``Cookie`` header, and what was opened is remembered within bounds."""

from typing import Any

import pytest

from tests.conftest import SECRET
from tests.visits import Browser, Host, make_sessions
from tornado_session import CookieOptions, KeyRing, MemoryCache, ProtectionError, Sessions, session_settings
from tornado_session.cookies import encoding
from tornado_session.exchange import Exchange
from tornado_session.session_cookie import _LONGEST_REMEMBERED, _MOST_REMEMBERED, KEY_SIZE, OpenedCookie, SessionCookie

PROTECTOR = KeyRing.from_cookie_secret(SECRET).protector("session cookie", "name")


def make_cookie() -> SessionCookie:
    return SessionCookie(CookieOptions(name="name"), PROTECTOR)


def value_of(line: str) -> str:
    return line.partition(";")[0].partition("=")[2]


def test_what_was_written_opens_again_and_again() -> None:
    cookie, key = make_cookie(), b"k" * KEY_SIZE

    text = value_of(cookie.set_line(key, https=True))

    assert [cookie.open(text, f"name={text}").key for _ in range(3)] == [key] * 3
    assert cookie.open(text, f"name={text}").is_current


def test_genuinely_protected_bytes_that_are_no_key_do_not_open() -> None:
    text = encoding.encode(PROTECTOR.protect(b"too short for a key"))

    with pytest.raises(ProtectionError, match="does not hold a key"):
        make_cookie().open(text, f"name={text}")


def test_what_did_not_open_is_not_remembered() -> None:
    cookie = make_cookie()
    for text in ("", "A", "AQJpMA", "=", "\u00e9", "AQ=="):
        with pytest.raises(ProtectionError):
            cookie.open(text, f"name={text}")

    assert not cookie.remembered


def test_no_more_cookies_are_remembered_than_the_bound() -> None:
    cookie = make_cookie()
    texts = [encoding.encode(PROTECTOR.protect(b"%032d" % number)) for number in range(_MOST_REMEMBERED + 10)]

    keys = [cookie.open(text, f"name={text}").key for text in texts]

    assert keys == [b"%032d" % number for number in range(_MOST_REMEMBERED + 10)]
    assert len(cookie.remembered) <= _MOST_REMEMBERED


async def header_and_key(sessions: Sessions) -> tuple[str, bytes | None]:
    """The ``Cookie`` header of a browser that has a session, and the session's key."""
    browser = Browser(sessions)
    visit = await browser.write(a=1)
    return "; ".join(f"{name}={value}" for name, value in browser.cookies.items()), visit.session._key


def key_in(sessions: Sessions, header: str) -> bytes | None:
    return Exchange(sessions, Host(), header).session._key


async def test_a_header_that_comes_again_is_not_opened_again(monkeypatch: pytest.MonkeyPatch) -> None:
    sessions = make_sessions()
    header, key = await header_and_key(sessions)

    def opened_again(*_: Any) -> None:
        pytest.fail("the cookie was opened again")

    assert key_in(sessions, header) == key
    monkeypatch.setattr(sessions.cookie, "open", opened_again)

    assert key_in(sessions, header) == key


async def test_a_header_of_two_cookies_of_one_name_means_the_same_each_time() -> None:
    sessions = make_sessions()
    (first, key_of_first), (second, key_of_second) = [await header_and_key(sessions) for _ in range(2)]

    assert [key_in(sessions, f"{first}; {second}") for _ in range(2)] == [key_of_second] * 2
    assert [key_in(sessions, f"{second}; {first}") for _ in range(2)] == [key_of_first] * 2


async def test_what_one_application_has_opened_another_does_not_know() -> None:
    sessions = make_sessions()
    other: Sessions = session_settings(cache=MemoryCache(), cookie_secret=SECRET + "!")["sessions"]
    header, key = await header_and_key(sessions)

    assert key_in(sessions, header) == key
    assert key_in(other, header) is None


async def test_what_was_opened_is_left_alone_when_the_visitor_withdraws_consent() -> None:
    agrees = True
    sessions: Sessions = session_settings(cache=MemoryCache(), cookie_secret=SECRET, consent=lambda _: agrees)[
        "sessions"
    ]
    header, key = await header_and_key(sessions)
    assert key_in(sessions, header) == key

    agrees = False

    assert key_in(sessions, header) is None


async def test_a_long_header_is_opened_each_time_and_takes_no_memory() -> None:
    sessions = make_sessions()
    header, key = await header_and_key(sessions)
    long = f"{header}; other={'x' * _LONGEST_REMEMBERED}"

    assert [key_in(sessions, long) for _ in range(2)] == [key] * 2
    assert long not in sessions.cookie.remembered


@pytest.mark.parametrize(("is_current", "which"), [(True, "the current"), (False, "an older")])
def test_the_repr_of_an_opened_cookie_does_not_show_the_key_in_it(is_current: bool, which: str) -> None:
    assert repr(OpenedCookie(b"topsecret", is_current)) == f"<OpenedCookie of {which} key of the ring>"
