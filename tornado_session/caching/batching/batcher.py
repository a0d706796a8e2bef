"""Batcher: what parallel requests ask for while a command is in flight goes out together, as the next command.

.. code-block:: text

    arrives     A    B  C  D            E
    in flight   A ─────────▶ B C D ─────────▶ E ─────────▶

A driver's cost per command is far above its cost per entry, so this divides the price of a busy moment by the number of
requests in it, and adds nothing to a quiet one: while nothing is in flight a call is sent at once, by its caller.
"""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from datetime import timedelta
from typing import Any, TypeVar

from tornado_session.caching.batching.lane import Lane, Limits, Traffic, Waiting
from tornado_session.loops import PerLoop

Call = TypeVar("Call")
Result = TypeVar("Result")


class Batcher:
    """Gathers the calls of parallel callers into batches, and gives each caller its own result.

    Calls with the same ``send`` go together. Calls of one ``key`` keep the order of their arrival, whichever ``send``
    they use, and are never in flight together, except that ``shared`` ones (reads) do not wait for each other.

    A batch has at most ``max_calls`` calls and ``max_bytes`` bytes, except for a larger single call. It goes out when a
    command comes back, when it is full, or when its first call has waited for ``max_wait``: a slow command delays
    others by no more than that. A call that others of its key have kept from its turn for longer than ``patience``
    raises ``CacheTimeoutError`` and is never sent. After a batch of several calls the next one first lets a few turns
    of the event loop pass, without sleeping, so that calls that are just being prepared come along, and lets a batch of
    another ``send`` that is not smaller land, so that callers who came together stay together.

    Callers may be cancelled at any time without disturbing others; a command is cancelled only when nobody waits for it
    any more, and without ``cancels`` not even then: it ends by its own time limit, its keys stay taken until it does,
    and a call that is alone has a task of its own. Callers of different event loops never share a batch. While nothing
    is in flight, no task, timer or future is kept.
    """

    def __init__(
        self,
        *,
        max_calls: int = 128,
        max_bytes: int = 4 * 2**20,
        max_wait: timedelta = timedelta(milliseconds=10),
        patience: timedelta | None = None,
        cancels: bool = True,
    ) -> None:
        self._limits = Limits(max_calls, max_bytes, max_wait.total_seconds(), cancels)
        self._patience = None if patience is None else patience.total_seconds()
        self._traffics = PerLoop(Traffic)

    async def run(
        self,
        send: Callable[[list[Call]], Coroutine[Any, Any, Sequence[Result | Exception]]],
        call: Call,
        *,
        key: str,
        shared: bool = False,
        size: int = 0,
    ) -> Result:
        """Have ``call`` sent, alone or among others, and return what ``send`` found for it.

        ``send`` is given a list of calls and returns as many results in the same order; an ``Exception`` among them is
        raised by that caller alone. What ``send`` itself raises, every caller of the batch raises, each its own copy.
        Keys are unique within a batch, except for shared calls. ``size`` is what the call adds to a command, in bytes.
        """
        loop = asyncio.get_running_loop()
        traffic = self._traffics[id(loop)]
        lane = traffic.lanes.get(send)
        if lane is None:
            lane = traffic.lanes[send] = Lane(send, traffic, self._limits)
        if not traffic.turns.take(key, shared=shared):
            waiting = Waiting(lane, call, key, shared, size, loop.create_future())
            waiting.park(self._patience)
        elif lane.in_flight or traffic.busy or not lane.cancels:
            waiting = Waiting(lane, call, key, shared, size, loop.create_future())
            lane.gather(waiting, loop)
        else:
            result: Result = await lane.send_alone(call, key)
            return result
        try:
            result = await waiting.future
        except asyncio.CancelledError:
            waiting.abandon()
            raise
        finally:
            # An error's traceback holds this frame: it would hold the future, and that the error.
            del waiting
        return result
