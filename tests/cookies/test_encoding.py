"""How bytes become a cookie's text, and which texts are read."""

from base64 import urlsafe_b64encode
from random import Random

import pytest

from tornado_session.cookies import encoding

# RFC 4648, 10, without the padding; the last two are the bytes on which base64 and base64url differ.
VECTORS = {
    b"": "",
    b"f": "Zg",
    b"fo": "Zm8",
    b"foo": "Zm9v",
    b"foob": "Zm9vYg",
    b"fooba": "Zm9vYmE",
    b"foobar": "Zm9vYmFy",
    b"\xfb\xff\xbf": "-_-_",
    b"\xff": "_w",
}


@pytest.mark.parametrize(("data", "text"), VECTORS.items())
def test_bytes_are_written_and_read_as_the_standard_says(data: bytes, text: str) -> None:
    assert encoding.encode(data) == text
    assert encoding.decode(text) == data


def test_any_bytes_are_written_as_the_standard_library_writes_them_and_come_back() -> None:
    random = Random(4648)
    for size in range(600):
        data = random.randbytes(size)

        text = encoding.encode(data)

        assert text == urlsafe_b64encode(data).rstrip(b"=").decode()
        assert encoding.decode(text) == data


@pytest.mark.parametrize(
    "respelled",
    [
        "Zg==",  # padding
        "Zm8=",
        "Zh",  # spare bits that are not zero
        "Zm9",
        "+/+/",  # the other alphabet
        "/w",
        "Zm9v\n",  # white space
        " Zm9v",
        "Zm 9v",
        "Zm9v=",
        "Zm9vY",  # a length that nothing has
        "Zm9\u00f6",
        "Zm9\u0662",
        "\ud800",
        "Zm9v;",
        "Zm9\x00",
    ],
)
def test_a_text_that_is_spelled_otherwise_is_not_read(respelled: str) -> None:
    assert encoding.decode(respelled) is None


def test_of_all_texts_that_differ_in_one_character_none_is_read_as_the_same_bytes() -> None:
    data = b"sixteen bytes, 1"
    text = encoding.encode(data)
    alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/= ;"\u20ac'

    read = {
        encoding.decode(text[:place] + character + text[place + 1 :])
        for place in range(len(text))
        for character in alphabet
        if character != text[place]
    }

    assert data not in read
