"""Batcher: what parallel requests ask for while a command is in flight goes out together, as the next command.

.. code-block:: text

    arrives     A    B  C  D            E
    in flight   A ─────────▶ B C D ─────────▶ E ─────────▶

A driver's cost per command is far above its cost per entry, so this divides the price of a busy moment by the number of
requests in it, and adds nothing to a quiet one: while nothing is in flight a call is sent at once, by its caller.
"""

import asyncio
import copy
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from datetime import timedelta
from typing import Any, NamedTuple, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from tornado_session.errors import CacheError

Call = TypeVar("Call")
Result = TypeVar("Result")
Send: TypeAlias = Callable[[list[Any]], Coroutine[Any, Any, Sequence[Any]]]


class Batcher:
    """Gathers the calls of parallel callers into batches, and gives each caller its own result.

    Calls with the same ``send`` go together. Calls of one ``key`` keep the order of their arrival, whichever ``send``
    they use, and are never in flight together, except that ``shared`` ones (reads) do not wait for each other.

    A batch has at most ``max_calls`` calls and ``max_bytes`` bytes, except for a larger single call. It goes out when a
    command comes back, when it is full, or when its first call has waited for ``max_wait``: a slow command delays
    others by no more than that.

    Callers may be cancelled at any time without disturbing others; a command is cancelled only when nobody waits for it
    any more. Callers of different event loops never share a batch. While nothing is in flight, no task, timer or
    future is kept.
    """

    def __init__(
        self,
        *,
        max_calls: int = 128,
        max_bytes: int = 4 * 2**20,
        max_wait: timedelta = timedelta(milliseconds=10),
    ) -> None:
        self._limits = _Limits(max_calls, max_bytes, max_wait.total_seconds())
        self._states: WeakKeyDictionary[asyncio.AbstractEventLoop, _State] = WeakKeyDictionary()

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
        state = self._states.get(loop) or self._new_state(loop)
        lane = state.lanes.get(send) or self._new_lane(state, send)
        if not state.turns.take(key, shared=shared):
            waiting = _Waiting(lane, call, key, shared, size)
            state.turns.park(waiting)
        elif lane.in_flight:
            waiting = _Waiting(lane, call, key, shared, size)
            lane.gather(waiting)
        else:
            result: Result = await lane.send_alone(call, key)
            return result
        try:
            result = await waiting.future
        except asyncio.CancelledError:
            waiting.abandon()
            raise
        return result

    def _new_state(self, loop: asyncio.AbstractEventLoop) -> "_State":
        # A loop that was closed amid its work left futures behind, which keep it in the dictionary.
        for closed in [other for other in self._states if other.is_closed()]:
            del self._states[closed]
        return self._states.setdefault(loop, _State())

    def _new_lane(self, state: "_State", send: Send) -> "_Lane":
        return state.lanes.setdefault(send, _Lane(send, state.turns, self._limits))


class _Limits(NamedTuple):
    """The bounds of a batch: calls, bytes, and the seconds that its first call waits."""

    calls: int
    bytes: int
    wait: float


class _State:
    """What is going on in one event loop."""

    __slots__ = ("lanes", "turns")

    def __init__(self) -> None:
        self.turns = _Turns()
        self.lanes: dict[Send, _Lane] = {}


class _Waiting:
    """A call that is not alone, and the future its caller waits for."""

    __slots__ = ("batch", "call", "future", "key", "lane", "shared", "size")

    def __init__(self, lane: "_Lane", call: Any, key: str, shared: bool, size: int) -> None:
        self.lane = lane
        self.call = call
        self.key = key
        self.shared = shared
        self.size = size
        self.future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.batch: _Batch | None = None

    def abandon(self) -> None:
        """The caller was cancelled: forget the call, or the whole batch when this was the last caller."""
        if self.batch is not None:
            self.batch.lose_caller()
        elif not self.lane.turns.forget(self):
            self.lane.forget(self)


class _Turns:
    """Who may use a key now: any number of shared calls or a single other, in the order of their arrival."""

    __slots__ = ("_active", "_parked")

    def __init__(self) -> None:
        self._active: dict[str, int] = {}  # the number of shared calls that have their turn; -1: one that is not shared
        self._parked: dict[str, deque[_Waiting]] = {}

    def take(self, key: str, *, shared: bool) -> bool:
        active = self._active.get(key, 0)
        if active and (not shared or active < 0 or key in self._parked):
            return False
        self._active[key] = active + 1 if shared else -1
        return True

    def park(self, waiting: _Waiting) -> None:
        self._parked.setdefault(waiting.key, deque()).append(waiting)

    def leave(self, key: str) -> None:
        """End a call's turn, and send on their way those who have waited for it."""
        active = self._active.pop(key)
        if active > 1:
            self._active[key] = active - 1
        elif key in self._parked:
            self._call_up(key)

    def forget(self, waiting: _Waiting) -> bool:
        """Take a call out of the queue; ``False``: it has had its turn already."""
        parked = self._parked.get(waiting.key)
        if parked is None or waiting not in parked:
            return False
        parked.remove(waiting)
        if not parked:
            del self._parked[waiting.key]
        return True

    def _call_up(self, key: str) -> None:
        parked = self._parked.pop(key)
        while parked and self.take(key, shared=parked[0].shared):
            waiting = parked.popleft()
            waiting.lane.gather(waiting)
        if parked:
            self._parked[key] = parked


class _Lane:
    """The calls of one ``send``: those gathering for the next batch, and how many commands are in flight."""

    __slots__ = ("_bytes", "_gathering", "_limits", "_timer", "in_flight", "send", "turns")

    def __init__(self, send: Send, turns: _Turns, limits: "_Limits") -> None:
        self.send = send
        self.turns = turns
        self.in_flight = 0
        self._limits = limits
        self._gathering: list[_Waiting] = []
        self._bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    async def send_alone(self, call: Any, key: str) -> Any:
        """Send a call in its caller's own task, which is cheaper and as quick as without batches."""
        self.in_flight += 1
        try:
            (result,) = await self.send([call])
        finally:
            self.turns.leave(key)
            self.landed()
        if isinstance(result, Exception):
            raise result
        return result

    def gather(self, waiting: _Waiting) -> None:
        """Put a call whose turn has come into the next batch."""
        if self._gathering and self._bytes + waiting.size > self._limits.bytes:
            self._dispatch()
        self._gathering.append(waiting)
        self._bytes += waiting.size
        if not self.in_flight or len(self._gathering) >= self._limits.calls:
            self._dispatch()
        elif self._timer is None:
            self._timer = waiting.future.get_loop().call_later(self._limits.wait, self._dispatch)

    def forget(self, waiting: _Waiting) -> None:
        """Take a call out of the next batch."""
        self._gathering.remove(waiting)
        self._bytes -= waiting.size
        self.turns.leave(waiting.key)
        if not self._gathering:
            self._stop_timer()

    def landed(self) -> None:
        """A command came back: send the calls that have gathered meanwhile."""
        self.in_flight -= 1
        if self._gathering:
            self._dispatch()

    def _dispatch(self) -> None:
        self._stop_timer()
        calls, self._gathering, self._bytes = self._gathering, [], 0
        self.in_flight += 1
        _Batch(self, calls)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class _Batch:
    """Calls that are in flight together, in a task of their own: no caller's end may end it."""

    __slots__ = ("_callers", "_calls", "_lane", "_task")

    def __init__(self, lane: _Lane, calls: list[_Waiting]) -> None:
        self._lane = lane
        self._calls = calls
        self._callers = len(calls)
        for waiting in calls:
            waiting.batch = self
        # The context is empty: one request's time limit or trace must not become that of its neighbours.
        sending = lane.send([waiting.call for waiting in calls])
        self._task = asyncio.get_running_loop().create_task(sending, context=Context())
        # A callback, since a task that is cancelled before its first step runs no line of its coroutine.
        self._task.add_done_callback(self._landed)

    def lose_caller(self) -> None:
        """A caller was cancelled: cancel the command when nobody waits for it any more."""
        self._callers -= 1
        if not self._callers:
            self._task.cancel()

    def _landed(self, task: asyncio.Task[Sequence[Any]]) -> None:
        error = self._error(task)
        if error is None:
            self._answer(task.result())
        else:
            self._fail(error)
        for waiting in self._calls:
            self._lane.turns.leave(waiting.key)
        self._lane.landed()

    def _error(self, task: asyncio.Task[Sequence[Any]]) -> BaseException | None:
        if task.cancelled():
            return CacheError("the command was cancelled before it had an answer")
        error = task.exception()
        if error is None and len(task.result()) != len(self._calls):
            return RuntimeError(f"{len(self._calls)} calls were sent, but {len(task.result())} results came back")
        return error

    def _answer(self, results: Sequence[Any]) -> None:
        for waiting, result in zip(self._calls, results, strict=True):
            future = waiting.future
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _fail(self, error: BaseException) -> None:
        for waiting in self._calls:
            if not waiting.future.done():
                waiting.future.set_exception(_copied(error))


def _copied(error: BaseException) -> BaseException:
    """An error of the caller's own: one that several tasks raise would gather all their tracebacks."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - some classes cannot be copied: the original is better than none
        return error
    own.__cause__ = error.__cause__
    return own
