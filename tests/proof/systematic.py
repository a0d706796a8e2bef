"""Everything that can be enumerated: every bit, every length, every order of pieces, every mixture of two cookies."""

from collections.abc import Iterator
from itertools import combinations, permutations, product

from tests.proof.known import SESSION, TEMP_DATA, Known


def headers(known: Known, *, every: int = 1) -> Iterator[str]:
    """The ``Cookie`` headers; of changed bits and lengths only one in ``every``, for a quick look."""
    session = known.session_cookies[0]
    yield from (f"{SESSION}={value}" for value in _damaged(session, every))
    for pieces in known.temp_data_cookies[:2]:
        for name, value in pieces.items():
            yield from (_written(pieces | {name: changed}) for changed in _damaged(value, every))
    yield from _orders(known)
    yield from _mixtures(known)
    yield from (
        f"{SESSION}={value}; {_written(pieces)}"
        for value, pieces in product(known.session_cookies, known.temp_data_cookies)
    )


def _damaged(value: str, every: int) -> Iterator[str]:
    for bit in range(0, len(value) * 8, every):
        place = bit // 8
        yield value[:place] + chr(ord(value[place]) ^ (1 << bit % 8)) + value[place + 1 :]
    for length in range(0, len(value), every):
        yield value[:length]
        yield value[length:]
    yield from (f'"{value}"', f"{value}=", f"{value}==", f" {value}", value + value, value.swapcase())


def _orders(known: Known) -> Iterator[str]:
    """Pieces in every order, left out, and doubled."""
    for pieces in known.temp_data_cookies:
        names, values = list(pieces), list(pieces.values())
        for order in permutations(values):
            yield _written(dict(zip(names, order, strict=True)))
            yield _written(dict(zip(names, order, strict=True))) + "; " + _written(pieces)
        for number in range(len(names)):
            yield from (_written({name: pieces[name] for name in kept}) for kept in combinations(names, number))
        yield from (_written(pieces | {TEMP_DATA: f"chunks-{number}"}) for number in (0, 1, 2, 3, 4, 5, 9, 10, 49, 99))


def _mixtures(known: Known) -> Iterator[str]:
    """Pieces of two cookies: of two visitors, purposes, applications, keys."""
    for one, other in permutations(known.temp_data_cookies, 2):
        for number in range(len(other)):
            yield from (_written(one | {name: other[name] for name in taken}) for taken in combinations(other, number))
    for value, another in permutations(known.session_cookies, 2):
        yield f"{SESSION}={value}; {SESSION}={another}"
        yield from (f"{SESSION}={value[:place]}{another[place:]}" for place in range(0, len(value), 7))
        yield f"{TEMP_DATA}={value}; {SESSION}={another}"
    for pieces in known.temp_data_cookies:
        yield from (f"{SESSION}={value}" for value in pieces.values())


def _written(cookies: dict[str, str]) -> str:
    return "; ".join(f"{name}={value}" for name, value in cookies.items())
