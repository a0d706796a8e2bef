"""The load: keep-alive connections that ask one route over and over, in a process of its own.

One thread that waits for many sockets, and no framework: a few microseconds per request, so that the server is what
is measured. Reads an ``Order`` from a line of standard input, says that it is ready, waits for another line, and writes
the ``Outcome`` to standard output; and so on.
"""

import json
import selectors
import socket
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Final

READY: Final = "ready"
_CHUNK: Final = 65536
_END_OF_HEADERS: Final = b"\r\n\r\n"
_PATIENCE: Final = 30.0
_SUCCESS: Final = b"HTTP/1.1 200"


@dataclass(frozen=True, slots=True)
class Order:
    """What to ask: ``count`` requests in all, for at most ``seconds``, over so many connections at a time."""

    port: int
    path: str
    connections: int
    count: int
    seconds: float = 10.0
    cookies: Sequence[str] = ()
    """Values of the ``Cookie`` header, shared out so that no two connections ask for one session at the same time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. Latencies in seconds."""

    count: int
    seconds: float
    p50: float
    p99: float
    failures: Sequence[str]
    """The first lines of answers that were not ``200``."""


class Connection:
    """One browser: sends a request, waits for the whole answer, sends the next."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = 0.0
        self._requests = requests
        self._sent = 0
        self._received = b""

    def send(self) -> None:
        request = self._requests[self._sent % len(self._requests)]
        self._sent += 1
        self._received = b""
        self.began = time.perf_counter()
        self.socket.sendall(request)

    def receive(self) -> bytes | None:
        """Read what has come; return the answer when it is complete."""
        received = self.socket.recv(_CHUNK)
        if not received:
            raise ConnectionError("the server closed a connection")
        self._received += received
        end = self._received.find(_END_OF_HEADERS)
        if end < 0 or len(self._received) < end + 4 + _content_length(self._received[:end]):
            return None
        return self._received


def connect(order: Order) -> list[Connection]:
    """Open the connections, and let each of them have one answer: opening costs the server more than a request."""
    requests = [_request(order.path, cookie) for cookie in order.cookies] or [_request(order.path, "")]
    number = min(order.connections, order.count)
    connections = [Connection(order.port, requests[index::number] or requests) for index in range(number)]
    _run(replace(order, count=number), connections)
    return connections


def run(order: Order, connections: Sequence[Connection]) -> Outcome:
    """Make the load; returns when ``count`` answers or ``seconds`` are reached and nothing is under way any more."""
    began = time.perf_counter()
    latencies, failures = _run(order, connections)
    seconds = time.perf_counter() - began
    latencies.sort()
    return Outcome(len(latencies), seconds, _at(latencies, 0.5), _at(latencies, 0.99), failures)


def _run(order: Order, connections: Sequence[Connection]) -> tuple[list[float], list[str]]:
    latencies: list[float] = []
    failures: list[str] = []
    to_send, in_flight = order.count - len(connections), len(connections)
    with selectors.DefaultSelector() as selector:
        ends = time.perf_counter() + order.seconds
        for connection in connections:
            selector.register(connection.socket, selectors.EVENT_READ, connection)
            connection.send()
        while in_flight:
            ready = selector.select(_PATIENCE)
            if not ready:
                raise TimeoutError(f"{order.path} was not answered within {_PATIENCE} seconds")
            for key, _ in ready:
                answer = key.data.receive()
                if answer is None:
                    continue
                now = time.perf_counter()
                latencies.append(now - key.data.began)
                in_flight -= 1
                if not answer.startswith(_SUCCESS):
                    failures.append(answer.partition(b"\r\n")[0].decode())
                if to_send > 0 and now < ends:
                    key.data.send()
                    to_send, in_flight = to_send - 1, in_flight + 1
    return latencies, failures


def _at(latencies: Sequence[float], share: float) -> float:
    return latencies[int(len(latencies) * share)]


def start_sessions(port: int, path: str, number: int) -> list[str]:
    """Visit ``path`` as ``number`` new browsers; return what each will say in its ``Cookie`` header."""
    return [_cookie_after_visit(port, path) for _ in range(number)]


def ask(port: int, path: str, cookie: str) -> str:
    """Visit ``path`` once and return the body of the answer."""
    return _visit(port, path, cookie).partition(_END_OF_HEADERS)[2].decode()


def _cookie_after_visit(port: int, path: str) -> str:
    lines = _visit(port, path, "").partition(_END_OF_HEADERS)[0].decode().split("\r\n")
    cookies = [line.split(":", 1)[1].split(";")[0].strip() for line in lines if line.lower().startswith("set-cookie:")]
    if not cookies:
        raise RuntimeError(f"{path} began no session: {lines}")
    return "; ".join(cookies)


def _visit(port: int, path: str, cookie: str) -> bytes:
    connection = Connection(port, [_request(path, cookie)])
    with connection.socket:
        connection.send()
        while (answer := connection.receive()) is None:
            pass
    if not answer.startswith(_SUCCESS):
        raise RuntimeError(f"{path} is answered with {answer[:300]!r}")
    return answer


def _request(path: str, cookie: str) -> bytes:
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", *([f"Cookie: {cookie}"] if cookie else []), "", ""]
    return "\r\n".join(lines).encode()


def _content_length(headers: bytes) -> int:
    lowered = headers.lower()
    start = lowered.find(b"\r\ncontent-length:")
    if start < 0:
        raise RuntimeError(f"an answer without Content-Length: {headers!r}")
    return int(lowered[start + 17 :].partition(b"\r\n")[0])


def main() -> None:
    for line in sys.stdin:
        order = Order(**json.loads(line))
        connections = connect(order)
        print(READY, flush=True)
        sys.stdin.readline()  # the word to begin
        print(json.dumps(asdict(run(order, connections))), flush=True)
        for connection in connections:
            connection.socket.close()


if __name__ == "__main__":
    main()
