"""TagIndex: which entries in Redis have a tag. How an index works is written in ``redis_lua/tag_index.lua``."""

from collections.abc import AsyncIterator
from typing import Final

from tornado_session.caching.contract import CacheEntry
from tornado_session.caching.redis_client import CrossSlotError, ScriptRunner
from tornado_session.caching.redis_entry import Member, read_entry, read_member, read_tag, read_token, write_member
from tornado_session.caching.redis_scripts import Script
from tornado_session.errors import CacheError

READ: Final = Script("entry", "tag_index", "read")
_LIST_MEMBERS: Final = Script("entry", "tag_index", "list_members")
_REMOVE_MEMBERS: Final = Script("remove_members")

_READ_PER_TRIP: Final = 32


class TagIndex:
    """The index of one tag, under ``name`` in Redis."""

    def __init__(self, runner: ScriptRunner, name: bytes, tag: bytes) -> None:
        self._runner = runner
        self._name = name
        self._tag = tag

    async def entries(self) -> AsyncIterator[tuple[bytes, CacheEntry]]:
        """Yield name and entry of every living entry, and remove the dead members that are met."""
        seen: set[bytes] = set()
        cursor = b"0"
        while True:
            cursor, too_young, *members = await self._runner.call((_LIST_MEMBERS, (self._name,), (cursor,)))
            for start in range(0, len(members), _READ_PER_TRIP):
                page = [read_member(member) for member in members[start : start + _READ_PER_TRIP]]
                for name, entry in await self._look_up(page, read_token(too_young)):
                    if name not in seen:
                        seen.add(name)
                        yield name, entry
            if cursor == b"0":
                return

    async def _look_up(self, members: list[Member], too_young: float) -> list[tuple[bytes, CacheEntry]]:
        found, dead = [], []
        replies = await self._runner.call_all([(READ, (member.name,), (b"peek",)) for member in members])
        for member, reply in zip(members, replies, strict=True):
            if isinstance(reply, CacheError):
                raise reply
            tag, token = (b"", 0.0) if reply is None else read_tag(reply)
            if tag == self._tag:
                found.append((member.name, read_entry(reply)))
            if tag != self._tag or token != member.token:
                dead.append(member)
        await self._remove_dead(dead, too_young)
        return found

    async def _remove_dead(self, dead: list[Member], too_young: float) -> None:
        """Remove members without a living entry; where an entry comes later than its member, only those of some age."""
        if dead and self._runner.is_one_slot:
            names = [member.name for member in dead]
            try:
                await self._runner.call((_REMOVE_MEMBERS, (self._name, *names), tuple(map(write_member, dead))))
            except CrossSlotError:
                pass
            else:
                return
        old = tuple(write_member(member) for member in dead if member.token < too_young)
        if old:
            await self._runner.call((_REMOVE_MEMBERS, (self._name,), old))
