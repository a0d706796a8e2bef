"""The Lua scripts of RedisCache, and calls of them put together into commands."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from itertools import chain
from struct import calcsize, pack, unpack_from
from typing import Final, NamedTuple, TypeAlias

Command: TypeAlias = tuple[str | bytes | int, ...]

_NIL: Final = -1
_ZERO: Final = -2


class Program:
    """Files of ``redis_lua`` put together, and the digest by which a server knows them."""

    def __init__(self, *names: str) -> None:
        folder = files(__package__).joinpath("redis_lua")
        self.text = b"\n".join(folder.joinpath(f"{name}.lua").read_bytes() for name in names)
        self.digest = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


class Script:
    """What can be called: once in a command, or many times in one."""

    def __init__(self, *names: str) -> None:
        self.once = Program(*names, "once")
        self.many = Program(*names, "many")


Call: TypeAlias = tuple[Script, tuple[bytes, ...], tuple[bytes, ...]]
"""One call of a script, with its keys and its arguments."""


class Run(NamedTuple):
    """What one command runs."""

    program: Program
    keys: tuple[bytes, ...]
    arguments: tuple[bytes, ...]

    def by_digest(self) -> Command:
        """The command for a server that knows the program."""
        return ("EVALSHA", self.program.digest, len(self.keys), *self.keys, *self.arguments)

    def by_text(self) -> Command:
        """The command that teaches a server the program, too."""
        return ("EVAL", self.program.text, len(self.keys), *self.keys, *self.arguments)


def run_of(calls: Sequence[Call]) -> Run:
    """Put calls into one run; a single one, or of one script and with as many keys and arguments each."""
    scripts, keys, arguments = zip(*calls, strict=True)
    if len(calls) == 1:
        return Run(scripts[0].once, keys[0], arguments[0])
    counts = (b"%d" % len(calls), b"%d" % len(arguments[0]))
    return Run(scripts[0].many, tuple(chain.from_iterable(keys)), (*counts, *_shared_or_own(arguments)))


def _shared_or_own(arguments: Sequence[tuple[bytes, ...]]) -> tuple[bytes, ...]:
    if arguments.count(arguments[0]) == len(arguments):
        return (b"shared", *arguments[0])
    parts = list(chain.from_iterable(arguments))
    return b"own", pack(f">{len(parts)}I", *map(len, parts)), b"".join(parts)


def replies_of(answer: bytes, number: int) -> list[bytes | int | None]:
    """The replies in the answer to a run of several calls; the format is told in ``many.lua``."""
    heads = f">{number}i"
    start = calcsize(heads)
    found: list[bytes | int | None] = []
    for head in unpack_from(heads, answer):
        if head >= 0:
            end = start + head
            found.append(answer[start:end])
            start = end
        else:
            found.append(None if head == _NIL else _ZERO - head)
    return found


def groups_of(calls: Sequence[Call]) -> list[list[int]]:
    """The positions of the calls, with those together that can be in one run."""
    groups: dict[tuple[Script, int, int], list[int]] = {}
    for position, (script, keys, arguments) in enumerate(calls):
        groups.setdefault((script, len(keys), len(arguments)), []).append(position)
    return list(groups.values())
