"""Proxy: stands between a client and a server, counts the trips, and cuts the line when a test says so."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit


class Proxy:
    """Forwards loopback TCP to the server of a URL.

    ``trips``: how often a client spoke after the server had, or at first. ``answers_to_cut``: as many answers of
    the server are lost, and the connection with each.
    """

    def __init__(self, url: str) -> None:
        self._server_url = urlsplit(url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._lines: set[asyncio.Task[None] | None] = set()
        self.port = 0
        self.trips = 0
        self.answers_to_cut = 0

    @property
    def url(self) -> str:
        user = f"{self._server_url.username}@" if self._server_url.username else ""
        return urlunsplit(self._server_url._replace(netloc=f"{user}127.0.0.1:{self.port}"))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(self._server_url.hostname, self._server_url.port)
        line = _Line(self)
        self._lines.add(asyncio.current_task())
        self._writers |= {writer, server_writer}
        try:
            await asyncio.gather(
                _pump(reader, server_writer, line.client_said), _pump(server_reader, writer, line.server_said)
            )
        except ConnectionError:
            pass
        finally:
            self._writers -= {writer, server_writer}
            writer.close()
            server_writer.close()

    async def hang_up(self) -> None:
        """End all lines."""
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*(line for line in self._lines if line))


class _Line:
    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._client_spoke_last = False

    def client_said(self) -> bool:
        self._proxy.trips += not self._client_spoke_last
        self._client_spoke_last = True
        return True

    def server_said(self) -> bool:
        self._client_spoke_last = False
        if not self._proxy.answers_to_cut:
            return True
        self._proxy.answers_to_cut -= 1
        return False


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, may_pass: Callable[[], bool]) -> None:
    while data := await reader.read(65536):
        if not may_pass():
            raise ConnectionResetError
        writer.write(data)
        await writer.drain()
    writer.close()


@asynccontextmanager
async def proxy_of(url: str) -> AsyncIterator[Proxy]:
    """Stand between clients and the server of ``url``."""
    proxy = Proxy(url)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1")
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        await proxy.hang_up()
        await server.wait_closed()
