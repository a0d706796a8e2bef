"""Proxy: TCP between application and store, which delays, drops, cuts in the middle of a message, or refuses."""

import asyncio
import random
from contextlib import suppress
from typing import Literal, Self

Fault = Literal["none", "delay", "drop", "cut", "refuse"]


class Proxy:
    """Passes bytes on to a port of this machine: ``async with Proxy(port, seed) as proxy``.

    ``fault``: ``"delay"`` holds each message back for up to ``longest_delay`` seconds; ``"drop"`` swallows what comes
    back, so that the store has done what nobody hears of; ``"cut"`` passes a part of a message and ends the connection;
    ``"refuse"`` ends every connection, the new ones too. May be set at any time.
    """

    longest_delay = 0.4

    def __init__(self, port: int, seed: int) -> None:
        self.fault: Fault = "none"
        self.faults = 0
        self.port = 0
        self._target = port
        self._random = random.Random(seed)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        self.end_connections()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def end_connections(self) -> None:
        """End what is open, at once and without a word."""
        for writer in list(self._writers):
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        if self.fault == "refuse":
            self.faults += 1
            writer.transport.abort()
            return
        try:
            to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, to_writer}
        await asyncio.gather(self._pump(reader, to_writer, back=False), self._pump(to_reader, writer, back=True))
        self._writers -= {writer, to_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, back: bool) -> None:
        with suppress(OSError):
            while data := await reader.read(65536):
                if not await self._pass(data, writer, back=back):
                    break
        writer.close()

    async def _pass(self, data: bytes, writer: asyncio.StreamWriter, *, back: bool) -> bool:
        """Pass a message on as the fault has it; ``False`` ends the connection."""
        self.faults += self.fault != "none"
        if self.fault == "delay":
            await asyncio.sleep(self._random.uniform(0, self.longest_delay))
        elif self.fault == "drop" and back and self._random.random() < 0.3:
            return True
        elif self.fault == "cut" and self._random.random() < 0.1:
            writer.write(data[: self._random.randrange(len(data))])
            await writer.drain()
            return False
        elif self.fault == "refuse":
            return False
        writer.write(data)
        await writer.drain()
        return True
