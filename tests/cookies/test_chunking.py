"""A value is split into lines that fit, joined again, and its left-over pieces are deleted."""

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tornado_session import ConfigurationError, CookieOptions
from tornado_session.cookies import encoding
from tornado_session.cookies.chunking import MOST_DELETED, ChunkedCookie, DamagedChunksError

NAME = ".T"


def chunked(*, chunk_size: int = 256, max_size: int = 2560, **options: Any) -> ChunkedCookie:
    return ChunkedCookie(CookieOptions(**{"name": NAME} | options), chunk_size=chunk_size, max_size=max_size)


def sent_back(lines: list[str]) -> dict[str, str]:
    """The cookies that a browser sends after these lines."""
    pairs = [line.split("; ")[0].partition("=") for line in lines]
    return {name: value for name, _, value in pairs}


def size_of(lines: list[str]) -> int:
    return sum(map(len, lines))


@given(
    size=st.integers(1, 6000),
    chunk_size=st.integers(330, 4000),
    name=st.integers(1, 60),
    domain=st.integers(1, 60),
    https=st.booleans(),
)
def test_what_was_split_fits_and_is_joined_again(
    size: int, chunk_size: int, name: int, domain: int, https: bool
) -> None:
    cookie = chunked(chunk_size=chunk_size, max_size=8000, name="n" * name, domain="d" * domain)
    value = "v" * (size - 1) + "E"

    lines = cookie.lines(value, https=https)

    assert all(len(line.encode()) <= chunk_size for line in lines)
    if size_of(lines) > 8000:
        return
    assert cookie.join(sent_back(lines)) == value
    assert cookie.join(dict(reversed(sent_back(lines).items()))) == value


def test_a_value_that_fits_one_line_takes_one_cookie_and_one_byte_more_takes_two_and_a_count() -> None:
    cookie = chunked()
    room = 256 - len(CookieOptions(name=NAME).set_line("", https=False))

    assert list(sent_back(cookie.lines("v" * room, https=False))) == [NAME]

    longer = cookie.lines("v" * (room + 1), https=False)
    assert sent_back(longer)[NAME] == "chunks-2"
    assert list(sent_back(longer)) == [NAME, f"{NAME}C1", f"{NAME}C2"]


@pytest.mark.parametrize("https", [False, True])
def test_every_piece_but_the_last_is_as_long_as_it_may_be_and_the_last_is_not_empty(https: bool) -> None:
    cookie = chunked()
    room = 256 - len(CookieOptions(name=NAME).set_line("", https=https, suffix="C1"))

    for size in (room * 3 - 1, room * 3):
        marker, *pieces = cookie.lines("v" * size, https=https)

        assert marker.startswith(f"{NAME}=chunks-3; ")
        assert [len(piece) for piece in pieces] == [256, 256, 256 - (room * 3 - size)]


@pytest.mark.parametrize("size", [10, 1000])
def test_over_https_every_piece_is_secure(size: int) -> None:
    lines = chunked().lines("v" * size, https=True)

    assert lines
    assert all("; Secure;" in line for line in lines)


def test_the_most_that_can_be_written_can_be_read() -> None:
    for chunk_size, max_size in ((256, 2560), (256, 2561), (300, 7000), (3800, 7168), (256, 12_500)):
        cookie = chunked(chunk_size=chunk_size, max_size=max_size)
        most = max(size for size in range(max_size) if size_of(cookie.lines("v" * size, https=False)) <= max_size)

        assert cookie.join(sent_back(cookie.lines("v" * most, https=False))) == "v" * most


def test_without_any_cookie_there_is_no_value_and_no_damage() -> None:
    assert chunked().join({}) is None
    assert chunked().join({"other": "chunks-2", f"{NAME}D1": "x", f"x{NAME}C1": "x", f"{NAME}C": "x"}) is None


@pytest.mark.parametrize(
    "marker",
    [
        "chunks-0",
        "chunks--1",
        "chunks-+2",
        "chunks- 2",
        "chunks-02",
        "chunks-2 ",
        "chunks-2\n",
        "chunks-2.0",
        "chunks-0x2",
        "chunks-1_0",
        "chunks-12",
        "chunks-50",
        "chunks-100",
        "chunks-2147483647",
        "chunks-99999999999999999999",
        "chunks-\u0662",
        "chunks-\u00b2",
        "chunks-\uff12",
        "chunks-",
        "chunks-two",
    ],
)
def test_a_count_that_was_never_written_is_damage(marker: str) -> None:
    cookies = {NAME: marker} | {f"{NAME}C{number}": "x" for number in range(1, 60)}

    with pytest.raises(DamagedChunksError, match="not one that was ever written"):
        chunked().join(cookies)


def test_a_huge_count_costs_nothing() -> None:
    class Counted(dict[str, str]):
        asked = 0

        def __getitem__(self, key: str) -> str:
            self.asked += 1
            return super().__getitem__(key)

    cookies = Counted({NAME: "chunks-99999999999999999999"})
    with pytest.raises(DamagedChunksError):
        chunked().join(cookies)
    assert cookies.asked == 0


@pytest.mark.parametrize("present", [[], [1], [2], [2, 3], [1, 3], [0, 1, 2]])
def test_a_gap_is_damage(present: list[int]) -> None:
    cookies = {NAME: "chunks-3"} | {f"{NAME}C{number}": "x" for number in present}

    with pytest.raises(DamagedChunksError, match="a piece is missing"):
        chunked().join(cookies)


def test_pieces_without_their_count_are_damage() -> None:
    with pytest.raises(DamagedChunksError, match="the cookie that counts them is missing"):
        chunked().join({f"{NAME}C1": "x"})


def test_pieces_are_told_from_cookies_of_others() -> None:
    own = [NAME, f"{NAME}C1", f"{NAME}C0", f"{NAME}C01", f"{NAME}C9999"]
    others = [
        f"{NAME}C",
        f"{NAME}c1",
        f"{NAME}C1x",
        f"{NAME}C\u0661",
        f"{NAME}C12345",
        f"{NAME}C-1",
        f"{NAME}X",
        "C1",
        "",
    ]

    assert chunked().pieces([*own, *others]) == own


def test_every_received_piece_is_deleted_also_after_a_gap_with_its_attributes() -> None:
    cookie = chunked(domain="example.org", path="/a", same_site="Strict", secure="always")

    lines = cookie.deletions([f"{NAME}C7", NAME, f"{NAME}C1"], https=False)

    assert [line.partition("=")[0] for line in lines] == [NAME, f"{NAME}C1", f"{NAME}C7"]
    for line in lines:
        assert line.partition("=")[2] == (
            "; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Domain=example.org; Path=/a; HttpOnly; Secure; "
            "SameSite=Strict"
        )


def test_of_too_many_pieces_those_go_first_that_could_open_again() -> None:
    names = [*(f"{NAME}C{number}" for number in range(9000, 9060)), f"{NAME}C2", f"{NAME}C1", NAME]

    lines = chunked().deletions(names, https=False)

    assert len(lines) == MOST_DELETED
    assert [line.partition("=")[0] for line in lines[:3]] == [NAME, f"{NAME}C1", f"{NAME}C2"]


def test_of_too_many_pieces_the_low_numbers_go_first_whatever_their_spelling() -> None:
    names = [f"{NAME}C{number}" for number in range(1, 100)]

    lines = chunked().deletions(reversed(names), https=False)

    assert [line.partition("=")[0] for line in lines] == names[:MOST_DELETED]


def test_a_cookie_has_to_leave_room_for_32_bytes_beside_what_deletes_its_last_piece() -> None:
    with_empty_name = CookieOptions(name="n").delete_line(https=True, suffix="C10")
    longest = 256 - 32 - (len(with_empty_name) - 1)

    assert chunked(name="n" * longest).lines("v", https=True) is not None
    with pytest.raises(ConfigurationError, match="take 225 bytes, which leaves too little"):
        chunked(name="n" * (longest + 1))


def test_a_deletion_is_never_longer_than_a_chunk() -> None:
    cookie = chunked(name="n" * 60, domain="d" * 39, chunk_size=256)

    assert all(len(line) <= 256 for line in cookie.deletions(["n" * 60 + "C10", "n" * 60], https=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 255}, "chunk_size must be at least 256 bytes, but is 255"),
        ({"name": "n" * 300}, "take [0-9]+ bytes, which leaves too little of chunk_size=256 and max_size=2560"),
        ({"domain": "d" * 250}, "which leaves too little"),
        ({"path": "/" + "p" * 250}, "which leaves too little"),
        ({"max_size": 100}, "which leaves too little of chunk_size=256 and max_size=100"),
        ({"max_size": 256 * 50}, "max_size=12800 is up to 50 pieces of chunk_size=256, but only 49 can be deleted"),
    ],
)
def test_what_leaves_no_room_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        chunked(**options)


def test_the_longest_name_that_is_allowed_still_carries_any_value() -> None:
    for length in range(1, 300):
        try:
            cookie = chunked(name="n" * length, partitioned=True)
        except ConfigurationError:
            break
        lines = cookie.lines("v" * 200, https=True)
        assert lines is not None
        assert all(len(line) <= 256 for line in lines)
        assert cookie.join(sent_back(lines)) == "v" * 200
    assert 30 < length < 256


# -- base64url --------------------------------------------------------------------------------------------------------


@given(st.binary(max_size=200))
@example(b"\x00\x00\x17")  # Whose last letter is an X.
def test_bytes_come_back_and_need_no_quoting(data: bytes) -> None:
    text = encoding.encode(data)

    assert encoding.decode(text) == data
    assert text.replace("-", "").replace("_", "").isalnum() or not text
    assert text.isascii()


@given(st.text(max_size=50))
def test_a_text_that_was_never_written_has_no_value(text: str) -> None:
    data = encoding.decode(text)

    assert data is None or encoding.encode(data) == text


@pytest.mark.parametrize(
    "respelled",
    [
        "YQ==",
        "YQ=",
        "YR",
        "YZ",
        " YQ",
        "YQ ",
        "Y Q",
        "YQ\n",
        "YQ.",
        "Y",
        "Y=Q",
        "YWI+",
        "YWI/",
        "YQ\u0661",
        "\u00e9",
        "=",
        "====",
    ],
)
def test_a_respelled_value_is_refused(respelled: str) -> None:
    assert encoding.decode("YQ") == b"a"
    assert encoding.decode(respelled) is None


def test_a_very_long_text_is_refused_without_delay() -> None:
    assert encoding.decode("=" * 1_000_000) is None
    assert encoding.decode("A" * 1_000_001) is None
