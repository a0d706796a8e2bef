"""fresh_version(): a version that an entry gets when it is written, without asking which ones there were."""

import os


def fresh_version() -> int:
    """Draw a number of 62 bits, greater than zero, that comes twice under one key as good as never."""
    # As ``secrets.randbits()`` does, which takes its time over any number of bits.
    return (int.from_bytes(os.urandom(8)) >> 2) + 1
