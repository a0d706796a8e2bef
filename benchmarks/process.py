"""Processes of the benchmark: a contender's server, the load, and what the operating system says they cost."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import IO, Final, Self

from benchmarks.load import READY, Order, Outcome
from tornado_session.testing.servers.process import free_port

ROOT: Final = Path(__file__).parent.parent
_PATIENCE: Final = 30.0
_CLOCK_OF_WHOLE_PROCESS: Final = 2


class ContenderServer:
    """One contender, running on a free loopback port; ``with`` starts and ends it."""

    def __init__(self, command: Sequence[str], *, environment: dict[str, str] | None = None) -> None:
        self.port = free_port()
        self._command = [*command, "--port", str(self.port)]
        self._environment = os.environ | (environment or {})
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the server

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            cwd=ROOT,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=self._log,
        )
        deadline = time.monotonic() + _PATIENCE
        while not _listens(self.port):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self._end()
                raise RuntimeError(self.errors())
            time.sleep(0.02)
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    @property
    def process_id(self) -> int:
        assert self._process is not None
        return self._process.pid

    def errors(self) -> str:
        """The end of what the server wrote to its standard error."""
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-2000:]

    def _end(self) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(_PATIENCE)


def cpu_seconds(process_id: int) -> float:
    """CPU time that a process and all its threads have used, user and system.

    From the process's own CPU clock, which Linux counts in nanoseconds: ``/proc/PID/stat`` has the same figure in steps
    of ten milliseconds. See clock_getcpuclockid(3) for how the clock of a process is named.
    """
    return time.clock_gettime((~process_id << 3) | _CLOCK_OF_WHOLE_PROCESS)


class LoadProcess:
    """The load, in a process of its own; ``with`` starts and ends it."""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

    def prepare(self, order: Order) -> None:
        """Open the order's connections."""
        assert self._say(json.dumps(asdict(order))) == READY

    def make(self) -> Outcome:
        """Run the order, which is bounded in time and count, and return what came of it."""
        return Outcome(**json.loads(self._say("")))

    def _say(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the load failed; its error stands above")
        return answer


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
