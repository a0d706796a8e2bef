"""ScriptRunner: calls Lua scripts through a Redis client of the application."""

import asyncio
import inspect
from collections.abc import Awaitable, Sequence
from functools import partial
from typing import Any, Final, Protocol, TypeAlias

from tornado_session.caching.redis_scripts import Call, Command, Run, groups_of, replies_of, run_of
from tornado_session.errors import CacheError, CacheTimeoutError, ConfigurationError
from tornado_session.loops import PerLoop

Reply: TypeAlias = Any
"""``bytes``, ``int``, ``None``, a list of them, or the error in their place."""

# Replies stay bytes even if the client decodes those of its application: the drivers' own way, which DUMP uses.
_RAW: Final[dict[str, Any]] = {"NEVER_DECODE": True}

_IN_FLIGHT: Final = 64


class RedisClient(Protocol):
    """What is used of ``redis.asyncio.Redis``, ``redis.asyncio.RedisCluster`` and their twins of ``valkey.asyncio``."""

    def execute_command(self, *args: Any, **options: Any) -> Awaitable[Any]: ...

    def pipeline(self, transaction: Any = ...) -> Any: ...


class CrossSlotError(CacheError):
    """A command named keys of several slots to a cluster, which did nothing."""


class ScriptRunner:
    """Runs scripts by their digests, and by their text where the server does not know them (any more).

    The driver's errors come out as ``CacheError``; retries and time limits are the client's own.
    """

    def __init__(self, client: RedisClient, *, sharded: bool) -> None:
        if not inspect.iscoroutinefunction(getattr(client, "execute_command", None)):
            raise ConfigurationError(
                "the client must be one of redis.asyncio or valkey.asyncio, such as "
                f"redis.asyncio.Redis.from_url(...), but this is {type(client).__module__}.{type(client).__qualname__}"
            )
        self._client = client
        self._turns = PerLoop(partial(asyncio.Semaphore, _IN_FLIGHT))
        self.is_cluster = hasattr(client, "get_node_from_key")
        """Whether the client itself sends every command to the node that has its keys."""
        self.is_one_slot = not (self.is_cluster or sharded)
        """Whether one command may name any keys together; no longer when the server turns out to be a cluster."""

    async def call(self, call: Call) -> Reply:
        """Return the reply, or raise its error."""
        (reply,) = await self.call_all([call])
        if isinstance(reply, CacheError):
            raise reply
        return reply

    async def call_all(self, calls: Sequence[Call]) -> list[Reply]:
        """Return the replies in the order of the calls, with a ``CacheError`` in the place of each that failed."""
        if len(calls) == 1 or not self.is_one_slot:
            return await self._run([run_of([call]) for call in calls])
        replies = await self._call_together(calls)
        if CrossSlotError in map(type, replies):
            refused = [position for position, reply in enumerate(replies) if isinstance(reply, CrossSlotError)]
            again = await self._run([run_of([calls[position]]) for position in refused])
            for position, reply in zip(refused, again, strict=True):
                replies[position] = reply
        return replies

    async def _call_together(self, calls: Sequence[Call]) -> list[Reply]:
        """Put as many calls into each command as can be: most of a driver's cost is by the command."""
        replies: list[Reply] = [None] * len(calls)
        groups = groups_of(calls)
        answers = await self._run([run_of([calls[position] for position in group]) for group in groups])
        for group, answer in zip(groups, answers, strict=True):
            for position, reply in zip(group, _each_reply(answer, len(group)), strict=True):
                replies[position] = reply
        return replies

    async def _run(self, runs: Sequence[Run]) -> list[Reply]:
        replies = await self._send([run.by_digest() for run in runs])
        if any(isinstance(reply, Exception) for reply in replies):
            await self._run_unknown(runs, replies)
            replies = [_cache_error(reply) if isinstance(reply, Exception) else reply for reply in replies]
            if any(isinstance(reply, CrossSlotError) for reply in replies):
                self.is_one_slot = False
        return replies

    async def _run_unknown(self, runs: Sequence[Run], replies: list[Reply]) -> None:
        unknown = [position for position, reply in enumerate(replies) if _is(reply, "NoScriptError")]
        again = await self._send([runs[position].by_text() for position in unknown])
        for position, reply in zip(unknown, again, strict=True):
            replies[position] = reply

    async def _send(self, commands: Sequence[Command]) -> list[Reply]:
        if self.is_cluster:
            # A cluster's pipeline follows no failover unless it may raise errors, and these quote keys and values.
            return await asyncio.gather(*map(self._send_in_turn, commands))
        if len(commands) == 1:
            return [await self._send_one(commands[0])]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command, **_RAW)
        try:
            replies: list[Reply] = await pipeline.execute(raise_on_error=False)
        except Exception as error:  # noqa: BLE001 - becomes a CacheError
            return [error] * len(commands)
        return replies

    async def _send_one(self, command: Command) -> Reply:
        try:
            return await self._client.execute_command(*command, **_RAW)
        except Exception as error:  # noqa: BLE001 - becomes a CacheError
            return error

    async def _send_in_turn(self, command: Command) -> Reply:
        """Send a command when not too many are in flight: for more, a cluster's client has errors, not connections."""
        async with self._turns[id(asyncio.get_running_loop())]:
            return await self._send_one(command)


def _each_reply(answer: Reply, number: int) -> Sequence[Reply]:
    """The replies of the calls that one command has run."""
    if number == 1 or isinstance(answer, CacheError):
        return [answer] * number
    if isinstance(answer, bytes):
        return replies_of(answer, number)
    return [_cache_error(reply) if isinstance(reply, Exception) else reply for reply in answer]


def _is(reply: Reply, name: str) -> bool:
    """Whether a reply is an error with a class of this name. Neither driver has to be installed to ask."""
    return isinstance(reply, Exception) and any(cls.__name__ == name for cls in type(reply).__mro__)


def _cache_error(cause: Exception) -> CacheError:
    """The error of the contract for one of the driver's, which may quote keys and is therefore not quoted."""
    if isinstance(cause, CacheError):
        return cause
    error: CacheError
    if _is(cause, "TimeoutError"):
        error = CacheTimeoutError(f"Redis did not answer in time: {type(cause).__name__}")
    elif _is(cause, "ClusterCrossSlotError") or str(cause).startswith("CROSSSLOT"):
        error = CrossSlotError("the keys are in different slots of a cluster")
    elif isinstance(cause, RuntimeError) and "loop" in str(cause):
        error = CacheError(
            "the Redis client is connected in another event loop: make a client and a cache for each loop, or close "
            "the client's connections before the next loop starts"
        )
    else:
        error = CacheError(f"Redis could not answer: {type(cause).__name__}")
    error.__cause__ = cause
    return error
