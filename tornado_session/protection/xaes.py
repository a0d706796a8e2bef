"""XAES-256-GCM: AES-256-GCM with nonces long enough to be drawn at random for ever.

The construction is the C2SP's (``XAES-256-GCM``, 2024): from the key and the first half of a 192-bit nonce a fresh
AES-256-GCM key is derived for every message, with the second half as its 96-bit nonce. The derivation is a NIST
SP 800-108r1 KDF in counter mode over CMAC-AES256, which comes down to encrypting two blocks. Each half of the
construction is an approved one, and the specification allows 2**80 messages under one key with random nonces at a
collision risk of 2**-32; AES-GCM alone allows 2**32 (NIST SP 800-38D, 8.3).
"""

import threading

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_SIZE = 24
TAG_SIZE = 16

# The two CMAC inputs are exactly one block each, and differ in the counter alone:
#
#   0         2     3     4                            16
#   +---------+-----+-----+-----------------------------+
#   | counter | "X" |  0  | first 12 bytes of the nonce |   each XORed with the CMAC subkey K1
#   +---------+-----+-----+-----------------------------+
#
# Side by side they make one number, in which all but the nonce is the same for every message of a key.
_FIXED = int.from_bytes(b"\x00\x01X\x00" + bytes(12) + b"\x00\x02X\x00" + bytes(12))
_TWICE = 1 << 128 | 1


class XAES256GCM:
    """Authenticated encryption under one 256-bit key; ``nonce`` is 24 random bytes."""

    def __init__(self, key: bytes) -> None:
        # AES in ECB mode is the bare block cipher, which is what CMAC is made of; no message passes through it.
        self._block_cipher = Cipher(algorithms.AES256(key), modes.ECB()).encryptor()  # noqa: S305
        self._block_cipher_lock = threading.Lock()
        self._fixed = _FIXED ^ _double(self._block_cipher.update(bytes(16))) * _TWICE

    def encrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Seal ``data``; the result is 16 bytes longer."""
        return self._cipher(nonce).encrypt(nonce[12:], data, associated_data)

    def decrypt(self, nonce: bytes, data: bytes, associated_data: bytes) -> bytes:
        """Open what ``encrypt`` sealed; raises ``cryptography.exceptions.InvalidTag`` for anything else."""
        return self._cipher(nonce).decrypt(nonce[12:], data, associated_data)

    def _cipher(self, nonce: bytes) -> AESGCM:
        blocks = int.from_bytes(nonce[:12]) * _TWICE ^ self._fixed
        with self._block_cipher_lock:
            key = self._block_cipher.update(blocks.to_bytes(32))
        return AESGCM(key)


def _double(block: bytes) -> int:
    """CMAC's subkey K1: a doubling in GF(2**128)."""
    subkey = int.from_bytes(block) << 1
    return subkey ^ (1 << 128 | 0x87) if subkey >> 128 else subkey
