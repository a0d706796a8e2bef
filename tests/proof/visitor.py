"""Visitor: a browser of few words, quick enough to keep a server busy: one connection, one jar, no redirects."""

import asyncio
import json
from typing import Any, NamedTuple


class NoAnswer(Exception):  # noqa: N818 - it is no error of the test's: servers are killed here
    """The connection was refused, or ended before the answer: whether the request was carried out is unknown."""


class Answer(NamedTuple):
    """A status and a body; ``json`` is empty where there is none."""

    status: int
    json: dict[str, Any]


class Visitor:
    """Keeps cookies and one connection to each of the ports that it is sent to."""

    patience = 15.0
    """Seconds; longer than any answer may take."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.cookies: dict[str, str] = {}
        self._connections: dict[int, tuple[asyncio.StreamReader, asyncio.StreamWriter]] = {}

    async def get(self, port: int, path: str) -> Answer:
        return await self.request(port, "GET", path)

    async def post(self, port: int, path: str) -> Answer:
        return await self.request(port, "POST", path)

    async def request(self, port: int, method: str, path: str, cookies: dict[str, str] | None = None) -> Answer:
        """Make a request; two at a time need two visitors. Raises ``NoAnswer``."""
        sent = self.cookies if cookies is None else cookies
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", "Content-Length: 0"]
        if sent:
            lines.append("Cookie: " + "; ".join(f"{name}={value}" for name, value in sent.items()))
        try:
            async with asyncio.timeout(self.patience):
                reader, writer = await self._connection(port)
                writer.write("\r\n".join([*lines, "", ""]).encode())
                return await self._answer(reader, is_kept=cookies is None)
        except BaseException as error:
            self._drop(port)
            if isinstance(error, OSError | EOFError | TimeoutError):
                raise NoAnswer(f"{method} {path}: {error!r}") from error
            raise

    def twin(self) -> "Visitor":
        """Another window of the same browser: the same jar, a connection of its own."""
        twin = Visitor(self.name)
        twin.cookies = self.cookies
        return twin

    def close(self) -> None:
        for port in list(self._connections):
            self._drop(port)

    async def _connection(self, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if port not in self._connections:
            self._connections[port] = await asyncio.open_connection("127.0.0.1", port)
        return self._connections[port]

    def _drop(self, port: int) -> None:
        connection = self._connections.pop(port, None)
        if connection is not None:
            connection[1].close()

    async def _answer(self, reader: asyncio.StreamReader, *, is_kept: bool) -> Answer:
        first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        length = 0
        for line in lines:
            name, _, value = line.partition(":")
            if name.lower() == "content-length":
                length = int(value)
            elif name.lower() == "set-cookie" and is_kept:
                self._keep(value.strip())
        body = await reader.readexactly(length) if length else b""
        status = int(first.split(" ")[1])
        return Answer(status, json.loads(body) if body.startswith(b"{") else {})

    def _keep(self, line: str) -> None:
        pair, _, attributes = line.partition(";")
        name, _, value = pair.partition("=")
        # Not anywhere in the line: one value in some hundred thousand has these digits.
        if "1970" in attributes or "Max-Age=0" in attributes or not value:
            self.cookies.pop(name, None)
        else:
            self.cookies[name] = value
