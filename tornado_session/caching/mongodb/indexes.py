"""Indexes: the two that sessions need beside the one on ``_id``, made once, at first use or when asked for."""

import asyncio
import json
import logging
from contextvars import Context
from typing import Any, Final, NamedTuple

from tornado_session.caching.mongodb.commands import Refused, create_index
from tornado_session.caching.mongodb.driver import failures
from tornado_session.errors import CacheError

_log = logging.getLogger("tornado_session.caching.mongodb")


class _Index(NamedTuple):
    field: str
    options: dict[str, Any]
    use: str
    """What is missing without it."""


_INDEXES: Final = (
    _Index("exp", {"expireAfterSeconds": 0}, "expired ones stay on the disk"),
    _Index(
        "tag", {"partialFilterExpression": {"tag": {"$exists": True}}}, "finding all of one owner reads every document"
    ),
)
_CONFLICTS: Final = {85: "same field, other options", 86: "same name, other field"}


class _MissingIndexError(CacheError):
    """The server refused to make an index; trying again would not help."""


class Indexes:
    """Sees to the indexes of one collection. Sessions work without them, though not for long on a busy site."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection
        self._settled = False
        self._task: asyncio.Task[None] | None = None

    async def ensure(self) -> None:
        """Make what is missing; raises ``CacheError`` naming the commands that an administrator has to run."""
        refused = []
        with failures:
            for index in _INDEXES:
                refusal = await create_index(self._collection, index.field, **index.options)
                if refusal is not None:
                    refused.append((index, refusal))
        self._settled = True
        if refused:
            raise _MissingIndexError(_advice(self._collection, refused)) from refused[0][1].error

    def ensure_soon(self) -> None:
        """Make what is missing beside the work at hand, once; a refusal is one line in the log."""
        if self._settled or (self._task is not None and not self._task.done()):
            return
        self._task = asyncio.get_running_loop().create_task(self._ensure_quietly(), context=Context())

    async def _ensure_quietly(self) -> None:
        try:
            await self.ensure()
        except _MissingIndexError as error:
            _log.error("%s", error)
        except CacheError:
            # The server went away: the next call that it answers will try again.
            return


def _advice(collection: Any, refused: list[tuple[_Index, Refused]]) -> str:
    shell = f"db.getSiblingDB({json.dumps(collection.database.name)}).getCollection({json.dumps(collection.name)})"
    losses = " and ".join(index.use for index, _ in refused)
    commands = " ".join(command for index, refusal in refused for command in _commands(shell, index, refusal))
    return f"sessions in {collection.full_name} work, but {losses} until an administrator runs in mongosh: {commands}"


def _commands(shell: str, index: _Index, refusal: Refused) -> list[str]:
    keys = f"{{{index.field}: 1}}"
    create = f"{shell}.createIndex({keys}, {json.dumps(index.options)});"
    if refusal.code not in _CONFLICTS:
        return [create]
    in_the_way = keys if refusal.code == 85 else json.dumps(f"{index.field}_1")
    return [f"{shell}.dropIndex({in_the_way});", create]
