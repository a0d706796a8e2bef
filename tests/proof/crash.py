"""Crash: a server and all that it has started, ended with SIGKILL by their own ids."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from tornado_session.testing.servers.process import ServerProcess

_PATIENCE = 10.0


def crash(server: ServerProcess) -> int:
    """End a running server as the kernel would; return how many processes that were.

    Nothing is flushed and nobody is told. PostgreSQL would leave its children behind, which hold the shared memory and
    keep it from coming back: they are ended with it.
    """
    if server.process_id is None:
        return 0
    # While it stands still it starts no child that would be missed.
    os.kill(server.process_id, signal.SIGSTOP)
    children = children_of(server.process_id)
    # The method of the base class: that of PostgresServer asks the server to end its children itself.
    ServerProcess.kill(server)
    for child in children:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
    deadline = time.monotonic() + _PATIENCE
    while any(is_alive(child) for child in children):
        if time.monotonic() > deadline:
            raise TimeoutError(f"a child of the killed server is still there: {children}")
        time.sleep(0.01)
    return 1 + len(children)


def children_of(process_id: int) -> list[int]:
    """The ids of the processes that this one has started."""
    running = [int(path.name) for path in Path("/proc").iterdir() if path.name.isdecimal()]
    return [each for each in running if (state := _state(each)) and state[1] == str(process_id)]


def is_alive(process_id: int) -> bool:
    """Whether it runs; one that has ended and waits for somebody to notice does not."""
    state = _state(process_id)
    return state is not None and state[0] != "Z"


def _state(process_id: int) -> list[str] | None:
    """The state and the parent's id, with more behind: ``pid (any name) S 1 ...``."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
