"""The session's cookie is opened once for each value, and remembers what it opened within bounds."""

import pytest

from tornado_session import CookieOptions, KeyRing, ProtectionError
from tornado_session.cookies import encoding
from tornado_session.session_cookie import _MOST_REMEMBERED, KEY_SIZE, SessionCookie

SECRET = "a secret for tests, not for sites"
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
