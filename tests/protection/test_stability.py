"""What an earlier release has written stays readable: a browser, a cache and an index keep it longer than a release."""

from datetime import timedelta
from typing import Final

import pytest

from tornado_session import KeyRing, ProtectionError
from tornado_session.testing import FakeClock

RING: Final = KeyRing({1: "the old secret, of 32 characters", "2030": "the new secret, of 32 characters"}, current=1)
DATA: Final = b"data \x00\xff"
LASTING: Final = bytes.fromhex(
    "010269319282995e5d12d866ceb01d8535a69491b6e7d74895850eb5e7cc61a3a8d4cec2a0cef8f9d5b0e95deb74e3c20df3eb"
)
LIMITED: Final = bytes.fromhex(
    "02057332303330000001b8dd59cc6002dd1dcfa1769b39228bdc62c0925c33b7f63b1641df5d0038ba1384c914fb33f4ff97ff"
    "b9028a449a658415e27edb"
)
"""Of 2030-01-01 00:00 UTC, the time of ``FakeClock()``, for one minute."""


def test_what_an_earlier_release_has_protected_still_opens() -> None:
    assert RING.protector("session cookie").unprotect(LASTING) == DATA


def test_what_an_earlier_release_has_protected_for_a_time_still_opens_until_then() -> None:
    clock = FakeClock()
    protector = RING.protector("temp_data", "n", clock=clock)

    assert protector.unprotect(LIMITED, context=b"c") == DATA

    clock.advance(timedelta(minutes=1))
    with pytest.raises(ProtectionError, match="has expired"):
        protector.unprotect(LIMITED, context=b"c")


def test_what_is_written_now_is_laid_out_as_an_earlier_release_expects_it() -> None:
    assert len(RING.protector("session cookie").protect(DATA)) == len(LASTING)
    assert RING.protector("session cookie").protect(DATA).startswith(LASTING[:4])


def test_what_an_earlier_release_has_filed_under_a_fingerprint_is_still_found() -> None:
    assert RING.fingerprints("session owner", "user-42") == [
        "3b2f1ccfbc9c01acc51caf5d31dc69931fd29a0355e75e13eb107a9c45c886fe",
        "b52eeda908b3bedecba8ff5ebf6ef571d2910f0753f3fa8aa9182dea17ed98d0",
    ]
