"""CookieTempDataProvider: what goes into cookies comes back whole, or not at all."""

from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.temp_data.requests import KEYS, Visit
from tornado_session import (
    ConfigurationError,
    CookieOptions,
    CookieTempDataProvider,
    KeyRing,
    MemoryCache,
    SessionOptions,
    TempDataTooLargeError,
    session_settings,
)
from tornado_session.cookies import encoding
from tornado_session.temp_data.cookie import TEMP_DATA_COOKIE_NAME as NAME

SMALL = {"chunk_size": 256, "max_size": 2560}
LONG = {"text": "x" * 600}


def written(values: dict[str, Any], *, provider: CookieTempDataProvider | None = None, **options: Any) -> Visit:
    visit = Visit(**options)
    (provider or CookieTempDataProvider(**SMALL)).save(visit, values)
    return visit


# -- round trips ------------------------------------------------------------------------------------------------------


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=300) | st.integers() | st.binary(), max_size=6))
def test_values_come_back_through_cookies_or_the_session(values: dict[str, Any]) -> None:
    provider = CookieTempDataProvider(**SMALL)
    visit = written(values, provider=provider)

    following = visit.next()

    assert provider.load(following) == values
    assert following.warnings == []
    assert all(len(line) <= 256 for line in visit.lines.values())
    assert sum(map(len, visit.lines.values())) <= 2560


def test_a_short_value_takes_one_cookie_and_a_long_one_several() -> None:
    assert list(written({"a": 1}).set) == [NAME]
    assert list(written(LONG).set)[:3] == [NAME, f"{NAME}C1", f"{NAME}C2"]
    assert written(LONG).set[NAME] == f"chunks-{len(written(LONG).set) - 1}"


def test_nobody_can_read_the_value_and_its_length_is_not_compressed_away() -> None:
    value = encoding.decode(written({"a": "secret"}).set[NAME])
    repeated = encoding.decode(written({"a": "x" * 90}, provider=CookieTempDataProvider()).set[NAME])

    assert value is not None
    assert b"secret" not in value
    assert repeated is not None
    assert len(repeated) > 90


@settings(max_examples=30)
@given(
    name=st.integers(1, 120),
    domain=st.integers(0, 100),
    path=st.integers(0, 100),
    chunk_size=st.integers(420, 4096),
    size=st.integers(0, 9000),
    https=st.booleans(),
)
def test_no_line_exceeds_chunk_size_and_no_set_max_size(
    name: int, domain: int, path: int, chunk_size: int, size: int, https: bool
) -> None:
    cookie = CookieOptions(
        name="n" * name, domain="d" * domain or None, path="/" + "p" * path, partitioned=True, max_age=timedelta.max
    )
    try:
        provider = CookieTempDataProvider(cookie=cookie, chunk_size=chunk_size)
    except ConfigurationError as error:
        assert name + domain + path > 200, error  # noqa: PT017 - every other combination has room
        return
    visit = written({"text": "x" * size}, provider=provider, https=https)

    assert all(len(line.encode()) <= chunk_size for line in visit.lines.values())
    assert sum(map(len, visit.lines.values())) <= 7168
    assert provider.load(visit.next()) == {"text": "x" * size}


def test_the_whole_set_is_bounded_to_the_byte() -> None:
    size = sum(map(len, written(LONG).lines.values()))

    exact = written(LONG, provider=CookieTempDataProvider(chunk_size=256, max_size=size))
    one_less = written(LONG, provider=CookieTempDataProvider(chunk_size=256, max_size=size - 1))

    assert (sum(map(len, exact.lines.values())), exact.session) == (size, {})
    assert (one_less.lines, list(one_less.session)) == ({}, [".TempData"])


# -- left-over pieces -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("https", [False, True])
def test_a_value_that_shrinks_deletes_the_pieces_left_over_as_they_were_set(https: bool) -> None:
    cookie = CookieOptions(domain="example.org", path="/shop", same_site="Strict", secure="same_as_request")
    provider = CookieTempDataProvider(cookie=cookie, **SMALL)
    long = written(LONG, provider=provider, https=https)

    short = long.next()
    provider.load(short)
    provider.save(short, {"a": 1})

    assert list(short.set) == [NAME]
    assert short.deleted == [name for name in long.set if name != NAME]
    attributes = {line.partition("; ")[2] for line in long.lines.values()}
    assert len(attributes) == 1
    for name in short.deleted:
        expired = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; "
        assert short.lines[name] == name + expired + attributes.copy().pop()
    assert provider.load(short.next()) == {"a": 1}


def test_an_empty_value_deletes_every_piece() -> None:
    provider = CookieTempDataProvider(**SMALL)
    long = written(LONG, provider=provider)

    emptied = long.next()
    provider.save(emptied, {})

    assert sorted(emptied.deleted) == sorted(long.set)
    assert emptied.next().cookies == {}


def test_pieces_of_an_earlier_write_beside_a_single_cookie_go_with_the_next_write() -> None:
    provider = CookieTempDataProvider(**SMALL)
    visit = written({"a": 1}, provider=provider)
    stray = Visit(visit.set | {f"{NAME}C1": "x", f"{NAME}C3": "x", "other": "y"})

    assert provider.load(stray) == {"a": 1}
    provider.save(stray, {"a": 2})

    assert stray.deleted == [f"{NAME}C1", f"{NAME}C3"]


def test_at_most_fifty_pieces_are_deleted_and_what_was_read_never_opens_again() -> None:
    provider = CookieTempDataProvider(**SMALL)
    strays = {f"{NAME}C{number}": "x" for number in range(100, 300)}
    visit = Visit(strays | written({"a": 1}, provider=provider).set)

    assert provider.load(visit) == {"a": 1}
    provider.save(visit, {})

    assert len(visit.lines) == 50
    assert NAME in visit.deleted
    assert provider.load(visit.next()) == {}


def test_damage_and_a_new_write_together_delete_at_most_fifty() -> None:
    provider = CookieTempDataProvider(**SMALL)
    visit = Visit({NAME: "damaged"} | {f"{NAME}C{number}": "x" for number in range(200)})

    assert provider.load(visit) == {}
    provider.save(visit, LONG)

    assert len(visit.deleted) <= 50
    assert provider.load(Visit(visit.set)) == LONG


# -- what a browser can get wrong ------------------------------------------------------------------------------------


def assert_dropped(cookies: dict[str, str], provider: CookieTempDataProvider | None = None, **options: Any) -> str:
    """Loading these cookies gives nothing, deletes every piece, and warns once without showing a value."""
    visit = Visit(cookies, **options)
    assert (provider or CookieTempDataProvider(**SMALL)).load(visit) == {}
    assert sorted(visit.deleted) == sorted(cookies)
    assert len(visit.warnings) == 1
    assert not any(value in visit.warnings[0] for value in cookies.values() if len(value) > 20)
    return visit.warnings[0]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda sent: {name: value for name, value in sent.items() if name != f"{NAME}C2"}, "a piece is missing"),
        (lambda sent: {name: value for name, value in sent.items() if name != NAME}, "counts them is missing"),
        (
            lambda sent: sent | {f"{NAME}C1": sent[f"{NAME}C2"], f"{NAME}C2": sent[f"{NAME}C1"]},
            "TempData in cookies was dropped",
        ),
        (lambda sent: sent | {f"{NAME}C2": sent[f"{NAME}C1"]}, "TempData in cookies was dropped"),
        (lambda sent: sent | {NAME: "chunks-1"}, "forged|not written as it was sent"),
        (lambda sent: sent | {NAME: "chunks-10"}, "a piece is missing"),
        (lambda sent: sent | {NAME: "chunks-0"}, "not one that was ever written"),
        (lambda sent: sent | {NAME: "chunks-99999999999999999999"}, "not one that was ever written"),
        (lambda sent: sent | {NAME: "chunks-\u0664"}, "not one that was ever written"),
        (lambda sent: sent | {f"{NAME}C2": ""}, "forged|not written as it was sent"),
        (lambda sent: sent | {f"{NAME}C2": sent[f"{NAME}C2"][:-1]}, "forged|not written as it was sent"),
        (lambda sent: sent | {f"{NAME}C2": sent[f"{NAME}C2"] + "="}, "not written as it was sent"),
    ],
)
def test_pieces_that_do_not_make_a_whole_are_dropped(change: Any, reason: str) -> None:
    warning = assert_dropped(change(written(LONG).set))

    assert any(part in warning for part in reason.split("|"))


@pytest.mark.parametrize("number", [0, 1, 2, 3])
def test_pieces_of_two_writes_or_of_two_visitors_never_mix(number: int) -> None:
    one, other = written(LONG).set, written(LONG).set
    names = list(one)
    assert list(other) == names

    if one[names[number]] != other[names[number]]:
        assert "forged" in assert_dropped(one | {names[number]: other[names[number]]})
    for cut in range(2, len(names)):
        mixed = {name: (one if index < cut else other)[name] for index, name in enumerate(names)}
        assert "forged" in assert_dropped(mixed)


@pytest.mark.parametrize("respell", [lambda v: v + "=", lambda v: v + "==", lambda v: v[:-1] + chr(ord(v[-1]) + 1)])
def test_a_respelled_value_is_damaged(respell: Any) -> None:
    assert_dropped({NAME: respell(written({"a": 1}).set[NAME])})


@pytest.mark.parametrize("value", ["", "x", "chunks-", "{}", "e30", "AAAA" * 30, "\u00e9\u00fc", '"', "a" * 100_000])
def test_a_value_that_nobody_wrote_is_dropped(value: str) -> None:
    assert_dropped({NAME: value})


def test_an_expired_value_is_dropped_also_when_it_is_replayed() -> None:
    provider = CookieTempDataProvider(max_age=timedelta(minutes=1))
    visit = written({"a": 1}, provider=provider)

    visit.fake_clock.advance(timedelta(seconds=59))
    assert provider.load(visit.next()) == {"a": 1}

    visit.fake_clock.advance(timedelta(seconds=1))
    assert "has expired" in assert_dropped(visit.set, provider, clock=visit.fake_clock)


def test_the_cookie_of_another_application_is_dropped() -> None:
    foreign = KeyRing({1: "another application's secret"}, current=1)
    renamed = KeyRing({2: "another application's secret"}, current=2)

    assert "forged" in assert_dropped(written({"a": 1}, keys=foreign).set)
    assert "made with key 2, which is not on the key ring" in assert_dropped(written({"a": 1}, keys=renamed).set)


def test_a_value_moved_to_a_cookie_of_another_name_is_dropped() -> None:
    other = CookieTempDataProvider(cookie=CookieOptions(name="other"))
    value = written({"a": 1}, provider=other).set["other"]

    assert_dropped({NAME: value})


def test_what_the_session_s_cookie_holds_does_not_open_as_temp_data() -> None:
    session_value = KEYS.protector("session cookie", NAME).protect(b"k" * 32)

    assert_dropped({NAME: encoding.encode(session_value)})


@pytest.mark.parametrize("data", [b"", b"\xc0", b"\x93\x01\x02\x03", b"\xa1a", b"\x81", b"\xff\xff"])
def test_an_authentic_value_that_is_no_mapping_is_dropped(data: bytes) -> None:
    visit = Visit()
    sealed = visit.protector("temp_data cookie", NAME).protect(data)

    assert_dropped({NAME: encoding.encode(sealed)})


# -- overflow ---------------------------------------------------------------------------------------------------------

LARGE = {"large": "x" * 9000, "small": 1}


def test_what_does_not_fit_goes_to_the_session_and_comes_back_and_is_gone() -> None:
    provider = CookieTempDataProvider()
    visit = written(LARGE, provider=provider)
    assert visit.set == {}
    assert list(visit.session) == [".TempData"]

    following = visit.next()
    assert provider.load(following) == LARGE
    provider.save(following, {})
    assert following.session == {}


def test_a_value_that_grows_leaves_the_cookies_and_one_that_shrinks_the_session() -> None:
    provider = CookieTempDataProvider()
    small = written({"text": "x" * 5000}, provider=provider)
    assert len(small.set) == 3

    grown = small.next()
    provider.save(grown, LARGE)
    assert sorted(grown.deleted) == sorted(small.set)
    assert provider.load(grown.next()) == LARGE

    shrunk = grown.next()
    provider.save(shrunk, {"a": 1})
    assert shrunk.session == {}
    assert provider.load(shrunk.next()) == {"a": 1}


def test_what_lies_in_the_session_expires_too() -> None:
    provider = CookieTempDataProvider(max_age=timedelta(minutes=1))
    visit = written(LARGE, provider=provider)

    visit.fake_clock.advance(timedelta(seconds=59))
    assert provider.load(visit.next()) == LARGE

    visit.fake_clock.advance(timedelta(seconds=1))
    assert provider.load(visit.next()) == {}


def test_changing_what_came_from_the_session_does_not_change_the_session() -> None:
    provider = CookieTempDataProvider()
    visit = written({"list": ["x" * 9000]}, provider=provider)

    provider.load(visit.next())["list"].append("more")

    assert visit.session[".TempData"][1] == {"list": ["x" * 9000]}


def test_without_a_session_small_values_still_work_and_nothing_asks_for_it() -> None:
    provider = CookieTempDataProvider()
    visit = written({"a": 1}, provider=provider, has_session=False, session={".TempData": [0.0, {}]})

    assert provider.load(visit.next(has_session=False)) == {"a": 1}
    assert visit.session == {".TempData": [0.0, {}]}


def test_overflow_error_names_the_largest_keys_and_sends_nothing() -> None:
    provider = CookieTempDataProvider(overflow="error")
    visit = Visit()

    with pytest.raises(TempDataTooLargeError) as caught:
        provider.save(visit, LARGE)

    assert visit.lines == {}
    assert visit.session == {}
    error = caught.value
    assert (error.limit, list(error.largest)) == (7168, ["large", "small"])
    assert error.size > 12_000
    assert str(error).startswith(f"TempData would take {error.size} bytes of cookies, and max_size allows 7168; its")
    assert "'large' (9008 bytes)" in str(error)
    assert str(error).endswith('Keep less, or choose overflow="session"')


# -- construction -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"cookie": "name"}, r"cookie must be CookieOptions\(\.\.\.\), not str"),
        ({"cookie": None}, "cookie must be CookieOptions"),
        ({"chunk_size": 3800.5}, "chunk_size is a positive number of bytes, but this is 3800.5"),
        ({"chunk_size": "3800"}, "chunk_size is a positive number of bytes"),
        ({"chunk_size": 0}, "chunk_size is a positive number of bytes"),
        ({"chunk_size": 255}, "chunk_size must be at least 256"),
        ({"max_size": None}, "max_size is a positive number of bytes, but this is None"),
        ({"max_size": True}, "max_size is a positive number of bytes"),
        ({"max_size": -1}, "max_size is a positive number of bytes"),
        ({"max_size": 90}, "leaves too little of chunk_size=3800 and max_size=90"),
        ({"max_size": 3800 * 50}, "only 49 can be deleted together"),
        ({"max_age": timedelta(0)}, "max_age is a positive timedelta"),
        ({"max_age": 86400}, "max_age is a positive timedelta, but this is 86400"),
        ({"overflow": "drop"}, 'overflow is "session" or "error", but this is \'drop\''),
        ({"cookie": CookieOptions(name="n" * 250), "chunk_size": 256}, "leaves too little of chunk_size=256"),
        ({"cookie": CookieOptions(domain="d" * 3800)}, "leaves too little of chunk_size=3800"),
    ],
)
def test_what_cannot_work_is_refused_when_the_provider_is_made(options: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CookieTempDataProvider(**options)


@pytest.mark.parametrize("session_name", ["same", "sameC1", "sameC17"])
def test_a_session_cookie_that_looks_like_a_piece_is_refused_at_start(session_name: str) -> None:
    with pytest.raises(ConfigurationError, match="call one of them something else"):
        session_settings(
            cache=MemoryCache(),
            cookie_secret="a secret for tests, not for sites",
            session=SessionOptions(cookie=CookieOptions(name=session_name)),
            temp_data=CookieTempDataProvider(cookie=CookieOptions(name="same")),
        )
