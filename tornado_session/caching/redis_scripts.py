"""The Lua scripts of RedisCache, and calls of them put together into commands."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from struct import Struct
from typing import Any, Final, NamedTuple, TypeAlias

Command: TypeAlias = tuple[str | bytes | int, ...]

_SIZE: Final = Struct(">I")
_STRING: Final = ord("s")
_NUMBER: Final = ord("i")


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


class Call(NamedTuple):
    """One call of a script."""

    script: Script
    keys: tuple[bytes, ...]
    arguments: tuple[bytes, ...]


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
    if len(calls) == 1:
        (call,) = calls
        return Run(call.script.once, call.keys, call.arguments)
    keys = tuple([key for call in calls for key in call.keys])
    arguments = calls[0].arguments
    counts = (b"%d" % len(calls), b"%d" % len(arguments))
    if all(call.arguments == arguments for call in calls):
        return Run(calls[0].script.many, keys, (*counts, b"shared", *arguments))
    own = b"".join([_SIZE.pack(len(part)) + part for call in calls for part in call.arguments])
    return Run(calls[0].script.many, keys, (*counts, b"own", own))


def replies_of(answer: Any, number: int) -> Sequence[Any]:
    """The replies in the answer to a run of several calls; the formats are drawn in ``many.lua``."""
    if not isinstance(answer, bytes):
        replies: Sequence[Any] = answer
        return replies
    found: list[bytes | int | None] = []
    position = 0
    for _ in range(number):
        kind = answer[position]
        position += 1
        if kind == _STRING:
            start = position + 4
            position = start + _SIZE.unpack_from(answer, position)[0]
            found.append(answer[start:position])
        elif kind == _NUMBER:
            found.append(_SIZE.unpack_from(answer, position)[0])
            position += 4
        else:
            found.append(None)
    return found


def groups_of(calls: Sequence[Call]) -> list[list[int]]:
    """The positions of the calls, with those together that can be in one run."""
    groups: dict[tuple[Script, int, int], list[int]] = {}
    for position, call in enumerate(calls):
        groups.setdefault((call.script, len(call.keys), len(call.arguments)), []).append(position)
    return list(groups.values())
