"""From choices to a ``Cookie`` header: what a client may do to the cookies that it, or somebody else, was given."""

import random
from typing import Final, Protocol, TypeVar

from tests.proof.known import SESSION, TEMP_DATA, Known

LONGEST_HEADER: Final = 65_000  # Tornado takes 64 KiB of request line and headers together
_SEPARATORS: Final = ("; ", ";", ", ", " ;; ", ";\t", "=;", "; $Version=1; ")
_SPICE: Final = ("=", "==", '"', '\\"', "\\075", ";", ",", "%3D", "chunks-", "-1", "9" * 12, "\u00e9", "\x00", "\xff")


Thing = TypeVar("Thing")


class Choices(Protocol):
    """Where decisions come from: a seed, or a fuzzer that watches where they lead."""

    def below(self, limit: int) -> int:
        """A number from 0 to ``limit`` - 1."""

    def text(self, length: int) -> str:
        """Characters of one byte each, at most ``length``."""


class SeededChoices:
    """Decisions of a random generator."""

    def __init__(self, generator: random.Random) -> None:
        self._generator = generator

    def below(self, limit: int) -> int:
        return self._generator.randrange(limit)

    def text(self, length: int) -> str:
        return self._generator.randbytes(self._generator.randrange(length + 1)).decode("latin-1")


class BytesChoices:
    """Decisions read from bytes, such as a fuzzer gives: zeros when they are used up."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def below(self, limit: int) -> int:
        size = 1 if limit <= 256 else 3
        return int.from_bytes(self._take(size)) % limit

    def text(self, length: int) -> str:
        return self._take(min(length, self.below(65536))).decode("latin-1")

    def _take(self, size: int) -> bytes:
        taken = self._data[self._position : self._position + size]
        self._position += size
        return taken


def header(choices: Choices, known: Known) -> str:
    """Compose a ``Cookie`` header."""
    kind = choices.below(16)
    if kind == 0:
        return choices.text(LONGEST_HEADER if choices.below(50) == 0 else 400)
    if kind == 1:
        return _crowd(choices)
    cookies = [(SESSION, _mutated(choices, _one(choices, known.session_cookies), known))]
    cookies += _temp_data(choices, known)
    if choices.below(4) == 0:
        cookies.reverse()
    if choices.below(4) == 0:
        cookies.insert(choices.below(len(cookies) + 1), cookies[choices.below(len(cookies))])
    separator = _SEPARATORS[choices.below(len(_SEPARATORS))] if choices.below(4) == 0 else "; "
    return separator.join(f"{name}={value}" for name, value in cookies)[:LONGEST_HEADER]


def record(choices: Choices, known: Known) -> bytes:
    """Compose what lies under a session's key."""
    stored = known.records[choices.below(len(known.records))].decode("latin-1")
    other = known.records[choices.below(len(known.records))].decode("latin-1")
    for _ in range(choices.below(4)):
        stored = _changed(choices, stored, other)
    return stored.encode("latin-1", "replace")


def _temp_data(choices: Choices, known: Known) -> list[tuple[str, str]]:
    cookies = _one(choices, known.temp_data_cookies).copy()
    kind = choices.below(8)
    if kind == 0:
        cookies.pop(list(cookies)[choices.below(len(cookies))])
    elif kind == 1:
        others: dict[str, str] = _one(choices, known.temp_data_cookies)
        cookies |= dict(list(others.items())[choices.below(3) :])
    elif kind == 2:
        cookies[TEMP_DATA] = f"chunks-{choices.below(400)}"
    elif kind == 3:
        values, turn = list(cookies.values()), choices.below(len(cookies))
        cookies = dict(zip(cookies, values[turn:] + values[:turn], strict=True))
    elif kind < 6:
        name = list(cookies)[choices.below(len(cookies))]
        cookies[name] = _mutated(choices, cookies[name], known)
    return list(cookies.items())


def _one(choices: Choices, things: list[Thing]) -> Thing:
    return things[choices.below(len(things))]


def _mutated(choices: Choices, value: str, known: Known) -> str:
    other = _one(choices, known.session_cookies)
    for _ in range(max(0, choices.below(5) - 1)):
        value = _changed(choices, value, other)
    return value


def _changed(choices: Choices, value: str, other: str) -> str:
    place = choices.below(len(value) + 1)
    before, after = value[:place], value[place:]
    match choices.below(9):
        case 0:
            return before + chr(ord(after[0]) ^ (1 << choices.below(8))) + after[1:] if after else before
        case 1:
            return before
        case 2:
            return after
        case 3:
            return before + after[1:]
        case 4:
            return before + _SPICE[choices.below(len(_SPICE))] + after
        case 5:
            return f'"{value}"'
        case 6:
            return before + other[choices.below(len(other)) :]
        case 7:
            return before + choices.text(16) + after
        case _:
            return before + after * (1 + choices.below(4))


def _crowd(choices: Choices) -> str:
    """Very many cookies that look like pieces of ours."""
    number, value = choices.below(2500), choices.text(8)
    name = (TEMP_DATA, f"{TEMP_DATA}C", SESSION, "x")[choices.below(4)]
    return "; ".join(f"{name}{index}={value}" for index in range(number))[:LONGEST_HEADER]
