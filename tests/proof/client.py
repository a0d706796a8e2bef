"""Client: signs in, writes, reads, races with itself, signs out, and remembers what it was told."""

import asyncio
import random
import time
from collections import deque

from tests.proof.recorder import Recorder
from tests.proof.visitor import NoAnswer, Visitor

_PAUSE = 0.02


class Client:
    """One visitor of the site, and what was acknowledged to it in its present session."""

    def __init__(self, name: str, ports: list[int], recorder: Recorder, generator: random.Random) -> None:
        self.name = name
        self.last_write = 0.0
        self._ports = ports
        self._recorder = recorder
        self._random = generator
        self._visitor = Visitor(name)
        self._number = 0
        self._history: deque[str] = deque(maxlen=8)
        """What was asked last, and how it was answered: where to begin when something is lost."""
        self._forget()

    async def run(self, until: asyncio.Event, pause: float = _PAUSE) -> None:
        """Be busy until told to stop; then look whether all is there."""
        while not until.is_set():
            await self._step()
            await asyncio.sleep(pause * self._random.random())

    async def finish(self) -> None:
        """Look a last time, and close."""
        await self._check()
        self._visitor.close()

    async def _step(self) -> None:
        if not self._is_signed_in:
            await self._sign_in()
            return
        kind = self._random.random()
        if kind < 0.35:
            await self._append(self._visitor)
        elif kind < 0.5:
            await self._put()
        elif kind < 0.6:
            await self._check()
        elif kind < 0.75:
            await asyncio.gather(self._append(self._visitor), self._append_beside())
        elif kind < 0.85:
            await self._renew()
        elif kind < 0.95:
            await self._sign_out()
        else:
            await asyncio.gather(self._sign_out(), self._append_beside(counts=False))

    def _forget(self) -> None:
        self._is_signed_in = False
        # What was acknowledged, and when.
        self._signed_in = 0.0
        self._tokens: dict[str, float] = {}
        self._own: dict[str, tuple[str, float]] = {}
        self._maybe: dict[str, set[str]] = {}
        self._visitor.cookies.clear()

    async def _ask(self, visitor: Visitor, method: str, path: str) -> int:
        """The status of the answer, 0 when there was none."""
        begun = time.monotonic()
        try:
            answer = await visitor.request(self._random.choice(self._ports), method, path)
        except NoAnswer:
            self._recorder.statuses["none"] += 1
            self._history.append(f"{method} {path} unanswered")
            await asyncio.sleep(0.05)
            return 0
        took = time.monotonic() - begun
        self._recorder.slowest = max(self._recorder.slowest, took)
        shown = {name: value for name, value in answer.json.items() if name in ("id", "state")}
        self._history.append(f"{method} {path} {answer.status} after {took:.3f} s at {begun:.3f} {shown}")
        self._recorder.saw(self.name, answer)
        self._answer = answer
        if answer.status in (200, 303) and method == "POST":
            self.last_write = time.monotonic()
        return answer.status

    async def _sign_in(self) -> None:
        self._is_signed_in = await self._ask(self._visitor, "POST", f"/sign-in?client={self.name}") == 200
        self._signed_in = time.monotonic()
        if not self._is_signed_in:
            self._forget()

    async def _renew(self) -> None:
        old = dict(self._visitor.cookies)
        status = await self._ask(self._visitor, "POST", f"/sign-in?client={self.name}")
        if status == 200:
            self._recorder.end(old)
            self._recorder.acknowledged += 1
            self._signed_in = time.monotonic()
        else:
            # The session may have moved to a key that never arrived.
            self._forget()

    async def _append(self, visitor: Visitor, *, counts: bool = True) -> None:
        self._number += 1
        token = f"{self.name}.{self._number}"
        status = await self._ask(visitor, "POST", f"/append?token={token}")
        if status == 200 and counts:
            self._tokens[token] = time.monotonic()
            self._recorder.acknowledged += 1

    async def _append_beside(self, *, counts: bool = True) -> None:
        twin = self._visitor.twin()
        if not counts:
            twin.cookies = dict(twin.cookies)
        await self._append(twin, counts=counts)
        twin.close()

    async def _put(self) -> None:
        self._number += 1
        name, value = f"own{self._random.randrange(4)}", f"{self.name}.{self._number}"
        status = await self._ask(self._visitor, "POST", f"/put?name={name}&value={value}")
        if status == 303:
            self._own[name] = (value, time.monotonic())
            self._maybe[name] = {value}
            self._recorder.acknowledged += 1
            await self._ask(self._visitor, "GET", "/notice")
        else:
            # Whether it was stored is unknown: both are right from now on.
            self._maybe.setdefault(name, {self._own.get(name, ("", 0.0))[0]}).add(value)

    async def _sign_out(self) -> None:
        old = dict(self._visitor.cookies)
        if await self._ask(self._visitor, "POST", "/sign-out") == 200:
            self._recorder.end(old)
        self._forget()

    async def _check(self) -> None:
        if not self._is_signed_in or await self._ask(self._visitor, "GET", "/") != 200:
            return
        shown, recorder = self._answer.json, self._recorder
        if shown.get("client") != self.name:
            recorder.lose(f"{self.name}: the whole session; {list(self._history)}", self._signed_in)
            self._forget()
            return
        tokens = shown["tokens"]
        recorder.doubled += len(tokens) - len(set(tokens))
        for token in self._tokens.keys() - set(tokens):
            recorder.lose(f"{self.name}: {token}", self._tokens.pop(token))
        for name, values in list(self._maybe.items()):
            if shown.get(name, "") not in values:
                acknowledged = self._own.get(name, ("", 0.0))[1]
                recorder.lose(f"{self.name}: {name} is {shown.get(name)}, not one of {values}", acknowledged)
                self._maybe[name] = {shown.get(name, "")}
