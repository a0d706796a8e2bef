"""Raw bytes to a server, and the status that comes back: for what no HTTP client would send."""

import asyncio
from typing import Self

from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application


class Wire:
    """The application on a loopback port, meanwhile: ``async with Wire(app) as wire``."""

    def __init__(self, app: Application) -> None:
        self._server = HTTPServer(app)
        socket, self.port = bind_unused_port()
        self._server.add_socket(socket)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.stop()
        await self._server.close_all_connections()

    async def status_of(self, cookie: bytes, *, method: bytes = b"GET") -> int | None:
        """Send a request with these bytes as ``Cookie``; ``None`` when the server closes without an answer."""
        request = method + b" / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 0\r\n"
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            writer.write(request + b"Cookie: " + cookie + b"\r\n\r\n")
            async with asyncio.timeout(10):
                line = await reader.readline()
                while await reader.read(65536):
                    pass
        except ConnectionError:
            return None
        finally:
            writer.close()
        return int(line.split(b" ")[1]) if line else None
