"""Lane: the calls that go out by the same command, from the moment they gather until each has its result."""

import asyncio
import copy
from collections.abc import Callable, Coroutine, Sequence
from contextvars import Context
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from tornado_session.caching.batching.key_locks import KeyLocks
from tornado_session.errors import CacheError, CacheTimeoutError

Send: TypeAlias = Callable[[list[Any]], Coroutine[Any, Any, Sequence[Any]]]

# A request takes about four turns of the loop from its socket to its call. At busy times a batch leaves only when so
# many have passed without another call, which takes no time when there is nothing else to do, and so takes along the
# requests that have already arrived. Once as many have come as the last batch has answered there is hardly anybody left
# to come, and one turn is enough.
_TURNS: Final = 4


class Limits(NamedTuple):
    """The bounds of a batch: calls, bytes, and the seconds that its first call waits; and who ends it."""

    calls: int
    bytes: int
    wait: float
    cancels: bool
    """Whether a command is cancelled when nobody waits for it any more."""


class Waiting(msgspec.Struct, eq=False):
    """A call that is not alone, and the future its caller waits for."""

    lane: "Lane"
    call: Any
    key: str
    shared: bool
    size: int
    future: "asyncio.Future[Any]"
    batch: "_Batch | None" = None
    giving_up: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        # Not the struct's own, which would show the call, and somebody's session in it.
        return f"<Waiting with {self.size} bytes>"

    def park(self, patience: float | None) -> None:
        """Wait for the turn, but no longer than ``patience`` seconds."""
        self.lane.turns.park(self)
        if patience is not None:
            self.giving_up = self.future.get_loop().call_later(patience, self._give_up, patience)

    def begin_turn(self) -> None:
        """The turn has come: join the next batch."""
        self._stop_giving_up()
        self.lane.gather(self, self.future.get_loop())

    def abandon(self) -> None:
        """The caller was cancelled: forget the call, or the whole batch when this was the last caller."""
        if self.batch is not None:
            self.batch.lose_caller()
        elif self._leave_queue():
            self._stop_giving_up()
        else:
            self.lane.forget(self)

    def _leave_queue(self) -> bool:
        """Wait for no turn any more, and hold up nobody behind; ``False``: it has begun already."""
        called_up = self.lane.turns.forget(self)
        for waiting in called_up or ():
            waiting.begin_turn()
        return called_up is not None

    def _give_up(self, seconds: float) -> None:
        self.giving_up = None
        self._leave_queue()
        if not self.future.done():
            message = f"not sent, since earlier calls for the same key took longer than {seconds:g} seconds"
            self.future.set_exception(CacheTimeoutError(message))

    def _stop_giving_up(self) -> None:
        if self.giving_up is not None:
            self.giving_up.cancel()
            self.giving_up = None


def _end_turn(turns: KeyLocks[Waiting], key: str) -> None:
    for waiting in turns.leave(key):
        waiting.begin_turn()


class Traffic:
    """What is under way in one event loop: its lanes, and whose turn it is in them."""

    __slots__ = ("busy", "lanes", "turns")

    def __init__(self) -> None:
        self.lanes: dict[Send, Lane] = {}
        self.turns: KeyLocks[Waiting] = KeyLocks()
        self.busy = False
        """The last batch had several calls, so that the next, of whatever lane, may expect company."""


class Lane:
    """The calls of one ``send``: those gathering for the next batch, and how many commands are in flight.

    Requests that came together would fall apart into groups of which one writes while the other reads, and each would
    need commands of its own. So a batch also lets a larger one of another lane land first: then they go on together.
    """

    __slots__ = (
        "_bytes",
        "_departure",
        "_expected",
        "_gathering",
        "_latest",
        "_limits",
        "batched",
        "cancels",
        "in_flight",
        "send",
        "traffic",
        "turns",
    )

    def __init__(self, send: Send, traffic: Traffic, limits: Limits) -> None:
        self.send = send
        self.traffic = traffic
        self.turns = traffic.turns
        self.in_flight = 0
        self.cancels = limits.cancels
        self._limits = limits
        self.batched = 0  # calls in flight that are not alone
        self._gathering: list[Waiting] = []
        self._expected = 0  # how many calls may gather: those that had an answer last, and those that were waiting then
        self._bytes = 0
        self._latest = 0.0  # when the batch has to leave
        self._departure: asyncio.Handle | None = None

    async def send_alone(self, call: Any, key: str) -> Any:
        """Send a call in its caller's own task, which is cheaper and as quick as without batches."""
        self.in_flight += 1
        try:
            (result,) = await self.send([call])
        finally:
            _end_turn(self.turns, key)
            self.landed()
        if isinstance(result, Exception):
            raise result
        return result

    def gather(self, waiting: Waiting, loop: asyncio.AbstractEventLoop) -> None:
        """Put a call whose turn has come into the next batch."""
        limits = self._limits
        if self._bytes + waiting.size > limits.bytes and self._gathering:
            self._dispatch()
        self._bytes += waiting.size
        gathering = self._gathering
        gathering.append(waiting)
        if len(gathering) >= limits.calls:
            self._dispatch()
        elif self._departure is None:
            self._latest = loop.time() + limits.wait
            if self.in_flight:
                self._departure = loop.call_at(self._latest, self._dispatch)
            else:
                self._depart(loop)

    def forget(self, waiting: Waiting) -> None:
        """Take a call out of the next batch."""
        if waiting not in self._gathering:
            return
        self._gathering.remove(waiting)
        self._bytes -= waiting.size
        _end_turn(self.turns, waiting.key)
        if not self._gathering:
            self._cancel_departure()

    def landed(self, calls: int = 1) -> None:
        """A command came back: send the calls that have gathered meanwhile."""
        self.in_flight -= 1
        self._expected = calls + len(self._gathering)
        if self._gathering:
            self._depart(asyncio.get_running_loop())

    def batch_landed(self, calls: int) -> None:
        """A command with several calls came back, for which batches of other lanes may have waited."""
        self.batched -= calls
        self.landed(calls)
        for lane in self.traffic.lanes.values():
            if lane is not self:
                lane.stop_waiting_for_others()

    def stop_waiting_for_others(self) -> None:
        """A batch of another lane came back: go on unless a command of this one is in flight."""
        if self._gathering and not self.in_flight:
            self._depart(asyncio.get_running_loop())

    def _depart(self, loop: asyncio.AbstractEventLoop) -> None:
        self._cancel_departure()
        calls = len(self._gathering)
        if self.traffic.busy or calls > 1:
            self._departure = loop.call_soon(self._wait_for_more, loop, calls, self._turns_after(calls))
        else:
            self._dispatch()

    def _turns_after(self, calls: int) -> int:
        return _TURNS if calls < self._expected else 1

    def _wait_for_more(self, loop: asyncio.AbstractEventLoop, known: int, turns: int) -> None:
        calls = len(self._gathering)
        if loop.time() >= self._latest:
            self._dispatch()
        elif calls > known or turns > 1:
            left = self._turns_after(calls) if calls > known else turns - 1
            self._departure = loop.call_soon(self._wait_for_more, loop, calls, left)
        elif any(lane.batched >= calls for lane in self.traffic.lanes.values() if lane is not self):
            self._departure = loop.call_at(self._latest, self._dispatch)
        else:
            self._dispatch()

    def _dispatch(self) -> None:
        self._cancel_departure()
        calls, self._gathering, self._bytes = self._gathering, [], 0
        self.traffic.busy = len(calls) > 1
        self.in_flight += 1
        self.batched += len(calls)
        _Batch(self, calls)

    def _cancel_departure(self) -> None:
        if self._departure is not None:
            self._departure.cancel()
            self._departure = None


class _Batch:
    """Calls that are in flight together, in a task of their own: no caller's end may end it."""

    __slots__ = ("_callers", "_calls", "_lane", "_sending", "_task")

    def __init__(self, lane: Lane, calls: list[Waiting]) -> None:
        self._lane = lane
        self._calls = calls
        self._callers = len(calls)
        for waiting in calls:
            waiting.batch = self
        self._sending = lane.send([waiting.call for waiting in calls])
        # The context is empty: one request's time limit or trace must not become that of its neighbours.
        self._task = asyncio.get_running_loop().create_task(self._send(), context=Context())
        # A task that is cancelled before its first step runs no line of its coroutine.
        self._task.add_done_callback(self._never_began)

    def lose_caller(self) -> None:
        """A caller was cancelled: cancel the command when nobody waits for it any more, if that may be done."""
        self._callers -= 1
        if not self._callers and self._lane.cancels:
            self._task.cancel()

    async def _send(self) -> None:
        # From here on without the callback: its turn of the loop would be one more to wait for.
        self._task.remove_done_callback(self._never_began)
        try:
            self._answer(await self._sending)
        except Exception as error:  # noqa: BLE001 - it is the callers'
            self._fail(error)
        except BaseException:
            self._fail(_cancelled())
            raise
        finally:
            self._landed()

    def _never_began(self, _: asyncio.Task[None]) -> None:
        self._sending.close()
        self._fail(_cancelled())
        self._landed()

    def _landed(self) -> None:
        # The calls hold the batch: a circle, unless it lets go of them, would wait for the garbage collector.
        calls, self._calls = self._calls, []
        leave = self._lane.turns.leave
        for waiting in calls:
            for next_one in leave(waiting.key):
                next_one.begin_turn()
        self._lane.batch_landed(len(calls))

    def _answer(self, results: Sequence[Any]) -> None:
        if len(results) != len(self._calls):
            raise RuntimeError(f"{len(self._calls)} calls were sent, but {len(results)} results came back")
        for waiting, result in zip(self._calls, results, strict=True):
            future = waiting.future
            if future.done():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _fail(self, error: Exception) -> None:
        for waiting in self._calls:
            if not waiting.future.done():
                waiting.future.set_exception(_copied(error))


def _cancelled() -> CacheError:
    return CacheError("the command was cancelled before it had an answer")


def _copied(error: Exception) -> Exception:
    """An error of the caller's own: one that several tasks raise would gather all their tracebacks."""
    try:
        own = copy.copy(error)
    except Exception:  # noqa: BLE001 - some classes cannot be copied: the original is better than none
        return error
    own.__cause__ = error.__cause__
    return own
