"""What all servers share: their arguments, and the session that they keep."""

import argparse
from dataclasses import dataclass
from typing import Any, Final

# About 300 bytes, however it is serialized: what a signed-in visitor of a small shop has.
SESSION: Final[dict[str, Any]] = {
    "user": "user-000042",
    "name": "Ada Lovelace",
    "email": "ada.lovelace@example.com",
    "roles": ["customer", "newsletter", "beta"],
    "language": "en-GB",
    "theme": "dark",
    "cart": [
        {"article": "A-10334", "amount": 2, "price": 1999},
        {"article": "A-20957", "amount": 1, "price": 24900},
    ],
    "seen": ["A-10334", "A-20957", "A-71221", "A-40402"],
    "token": "8c6976e5b5410415bde908bd4dee15df",
    "visits": 0,
}

# The body of every answer has to be the number of visits: that proves that the session was there.
ROUTES: Final = ("bare", "none", "read", "written")


@dataclass(frozen=True, slots=True)
class Arguments:
    """Where to listen, and where sessions are kept."""

    port: int
    store: str
    url: str


def arguments() -> Arguments:
    """Read the command line."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--store", default="memory")
    parser.add_argument("--url", default="")
    return Arguments(**vars(parser.parse_args()))
