"""Bytes to a cookie's text and back: base64url without padding, read strictly."""

from base64 import urlsafe_b64decode, urlsafe_b64encode


def encode(data: bytes) -> str:
    """Write ``data`` in base64url without padding (RFC 4648, 5), which no browser and no proxy needs to quote."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(text: str) -> bytes | None:
    """Give back what ``encode`` took, or ``None`` for any text that ``encode`` does not write.

    A respelled value (padding, other alphabets, spare bits that are not zero) is not accepted as the same value.
    """
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        return None
    return data if encode(data) == text else None
