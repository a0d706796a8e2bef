"""XAES-256-GCM is the C2SP's, to the bit."""

import os

import pytest
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.kbkdf import KBKDFCMAC, CounterLocation, Mode
from hypothesis import given
from hypothesis import strategies as st

from tornado_session.protection.xaes import NONCE_SIZE, TAG_SIZE, XAES256GCM

NONCE = b"ABCDEFGHIJKLMNOPQRSTUVWX"
PLAINTEXT = b"XAES-256-GCM"
# The two test vectors of the specification: the subkey's top bit is clear under the first key and set under the second.
VECTORS = [
    (b"\x01" * 32, b"", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271"),
    (b"\x03" * 32, b"c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d"),
]


@pytest.mark.parametrize(("key", "associated_data", "expected"), VECTORS)
def test_the_published_vectors_are_met(key: bytes, associated_data: bytes, expected: str) -> None:
    cipher = XAES256GCM(key)

    assert cipher.encrypt(NONCE, PLAINTEXT, associated_data).hex() == expected
    assert cipher.decrypt(NONCE, bytes.fromhex(expected), associated_data) == PLAINTEXT


@given(
    key=st.binary(min_size=32, max_size=32),
    nonce=st.binary(min_size=NONCE_SIZE, max_size=NONCE_SIZE),
    data=st.binary(max_size=100),
    associated_data=st.binary(max_size=50),
)
def test_the_key_of_a_message_is_that_of_nist_s_kdf_in_counter_mode(
    key: bytes, nonce: bytes, data: bytes, associated_data: bytes
) -> None:
    derived = KBKDFCMAC(
        algorithm=algorithms.AES,
        mode=Mode.CounterMode,
        length=32,
        rlen=2,
        llen=None,
        location=CounterLocation.BeforeFixed,
        label=None,
        context=None,
        fixed=b"X\x00" + nonce[:12],
    ).derive(key)

    sealed = XAES256GCM(key).encrypt(nonce, data, associated_data)

    assert sealed == AESGCM(derived).encrypt(nonce[12:], data, associated_data)


def test_both_halves_of_the_nonce_and_the_associated_data_count() -> None:
    cipher = XAES256GCM(os.urandom(32))
    sealed = cipher.encrypt(NONCE, PLAINTEXT, b"for A")
    assert len(sealed) == len(PLAINTEXT) + TAG_SIZE

    for nonce, associated_data in [
        (b"Z" + NONCE[1:], b"for A"),
        (NONCE[:-1] + b"Z", b"for A"),
        (NONCE, b"for B"),
        (NONCE, b""),
    ]:
        with pytest.raises(InvalidTag):
            cipher.decrypt(nonce, sealed, associated_data)
