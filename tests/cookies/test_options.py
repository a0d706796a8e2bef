"""CookieOptions writes exact lines, and refuses what a browser or a header could not carry."""

from dataclasses import FrozenInstanceError, asdict
from datetime import timedelta
from typing import Any

import pytest

from tornado_session import ConfigurationError, CookieOptions

EXPIRED = "Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT"


@pytest.mark.parametrize(
    ("options", "https", "line"),
    [
        ({}, False, "n=v; Path=/; HttpOnly; SameSite=Lax"),
        ({}, True, "n=v; Path=/; HttpOnly; Secure; SameSite=Lax"),
        ({"secure": "always"}, False, "n=v; Path=/; HttpOnly; Secure; SameSite=Lax"),
        ({"secure": "never"}, True, "n=v; Path=/; HttpOnly; SameSite=Lax"),
        ({"http_only": False}, False, "n=v; Path=/; SameSite=Lax"),
        ({"same_site": None}, False, "n=v; Path=/; HttpOnly"),
        ({"same_site": "Strict"}, False, "n=v; Path=/; HttpOnly; SameSite=Strict"),
        ({"same_site": "None"}, False, "n=v; Path=/; HttpOnly; Secure; SameSite=None"),
        ({"partitioned": True}, False, "n=v; Path=/; HttpOnly; Secure; SameSite=Lax; Partitioned"),
        ({"domain": "Example.ORG"}, False, "n=v; Domain=Example.ORG; Path=/; HttpOnly; SameSite=Lax"),
        (
            {"domain": "example.org", "path": "/shop"},
            False,
            "n=v; Domain=example.org; Path=/shop; HttpOnly; SameSite=Lax",
        ),
        ({"max_age": timedelta(minutes=1)}, False, "n=v; Max-Age=60; Path=/; HttpOnly; SameSite=Lax"),
        ({"max_age": timedelta(milliseconds=1)}, False, "n=v; Max-Age=1; Path=/; HttpOnly; SameSite=Lax"),
    ],
)
def test_a_line_has_the_attributes_that_were_asked_for(options: dict[str, Any], https: bool, line: str) -> None:
    assert CookieOptions(name="n", **options).set_line("v", https=https) == line


@pytest.mark.parametrize("https", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"domain": ".example.org", "path": "/a"},
        {"secure": "always", "same_site": None},
        {"secure": "never", "http_only": False},
        {"partitioned": True, "same_site": "None"},
        {"max_age": timedelta(days=1)},
    ],
)
def test_a_cookie_is_deleted_with_the_attributes_that_it_was_set_with(options: dict[str, Any], https: bool) -> None:
    cookie = CookieOptions(name="n", **options)

    set_line = cookie.set_line("v", https=https, suffix="C1")
    delete_line = cookie.delete_line(https=https, suffix="C1")

    lasting = "Max-Age=86400; " if "max_age" in options else ""
    assert delete_line == set_line.replace("n C1".replace(" ", "") + "=v; " + lasting, f"nC1=; {EXPIRED}; ")


@pytest.mark.parametrize("name", ["__Host-s", "__Secure-s", "__host-S", "__SECURE-s"])
def test_a_prefixed_name_is_always_secure(name: str) -> None:
    assert "; Secure" in CookieOptions(name=name).set_line("v", https=False)


HOST = "a __Host- cookie belongs to one host as a whole: leave out domain, keep path"
NEVER = 'secure="never" does not go with .* use secure="always"'


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "__Host-s", "domain": "example.org"}, HOST),
        ({"name": "__Host-s", "path": "/shop"}, HOST),
        ({"name": "__hOsT-s", "path": "/shop"}, HOST),
        ({"name": "__Host-s", "secure": "never"}, NEVER),
        ({"name": "__Secure-s", "secure": "never"}, NEVER),
        ({"name": "__secure-s", "secure": "never"}, NEVER),
        ({"same_site": "None", "secure": "never"}, NEVER),
        ({"partitioned": True, "secure": "never"}, NEVER),
        ({"same_site": "lax"}, "same_site is one of 'Strict', 'Lax', 'None', None, but this is 'lax'"),
        ({"same_site": ""}, "same_site is one of"),
        ({"same_site": ["Lax"]}, "same_site is one of"),
        ({"secure": True}, "secure is one of 'same_as_request', 'always', 'never', but this is True"),
        ({"secure": None}, "secure is one of"),
        ({"max_age": timedelta(0)}, "max_age is a positive timedelta or None"),
        ({"max_age": timedelta(seconds=-1)}, "max_age is a positive timedelta or None"),
        ({"max_age": 3600}, "max_age is a positive timedelta or None, but this is 3600"),
        ({"name": ""}, "a cookie's name is letters, digits"),
        ({"name": 5}, "a cookie's name is letters, digits"),
        ({"domain": ""}, "a cookie's domain is a host name"),
        ({"domain": "."}, "a cookie's domain is a host name"),
        ({"domain": "-example.org"}, "a cookie's domain is a host name"),
        ({"domain": "exämple.org"}, "a cookie's domain is a host name"),
        ({"path": ""}, "a cookie's path is a path that starts with /"),
        ({"path": "shop"}, "a cookie's path is a path that starts with /"),
        ({"path": None}, "a cookie's path is a path that starts with /"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CookieOptions(**options)


INJECTIONS = [
    "; Secure",
    ";Domain=evil.example",
    "\r\nX-Injected: 1",
    "\nSet-Cookie: a=b",
    "\n",
    "\x00",
    "\x7f",
    "\t",
    " ",
    "\u2028",
    "é",
    "\x85",
]


@pytest.mark.parametrize("text", INJECTIONS)
@pytest.mark.parametrize(("field", "start"), [("name", "n"), ("domain", "example.org"), ("path", "/a")])
def test_nothing_can_be_smuggled_into_a_header(field: str, start: str, text: str) -> None:
    for value in (start + text, start + text + "a"):
        with pytest.raises(ConfigurationError, match=f"a cookie's {field} is"):
            CookieOptions(**{field: value})


@pytest.mark.parametrize("text", ["=", ",", '"', "(", "[", "/", "\\", "{", "?", "@", ":"])
def test_a_name_is_a_token(text: str) -> None:
    with pytest.raises(ConfigurationError, match="a cookie's name is"):
        CookieOptions(name=f"a{text}b")


def test_a_name_that_was_left_out_is_that_of_the_user_of_the_cookie() -> None:
    options = CookieOptions(path="/a")

    assert options.named("default").name == "default"
    assert options.named("default").path == "/a"
    assert CookieOptions(name="own").named("default").name == "own"


def test_a_default_name_is_held_to_the_rules_of_its_prefix() -> None:
    with pytest.raises(ConfigurationError, match=HOST):
        CookieOptions(path="/a").named("__Host-s")


def test_what_is_not_said_is_what_the_contract_says() -> None:
    assert asdict(CookieOptions()) == {
        "name": None,
        "path": "/",
        "domain": None,
        "http_only": True,
        "same_site": "Lax",
        "secure": "same_as_request",
        "is_essential": False,
        "max_age": None,
        "partitioned": False,
    }


def test_options_are_frozen_and_equal_by_value() -> None:
    options: Any = CookieOptions(name="n")

    with pytest.raises(FrozenInstanceError):
        options.name = "other"
    with pytest.raises(TypeError):
        CookieOptions("n")  # type: ignore[misc]
    assert options == CookieOptions(name="n")
