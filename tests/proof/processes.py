"""Processes of one site: started, killed and restarted by their own ids."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Self

from tests.proof.app import PATIENCE
from tests.proof.visitor import NoAnswer, Visitor
from tornado_session.testing.servers.process import free_port

_PATIENCE = 60.0


class AppProcess:
    """One ``tests.proof.app``."""

    def __init__(self, kind: str, url: str, patience: float = PATIENCE) -> None:
        self.port = free_port()
        self._arguments = [str(self.port), kind, url, str(patience)]
        self._process: subprocess.Popen[bytes] | None = None

    async def start(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        command = [sys.executable, "-m", "tests.proof.app", *self._arguments]
        self._process = subprocess.Popen(
            command,
            cwd=Path(__file__).parents[2],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        deadline = time.monotonic() + _PATIENCE
        while not await self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise TimeoutError(f"an application process did not start ({self._process.poll()})")
            await asyncio.sleep(0.1)

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(timeout=30)
            self._process = None

    async def _answers(self) -> bool:
        visitor = Visitor("nobody")
        try:
            return (await visitor.get(self.port, "/state")).status == 200
        except NoAnswer:
            return False
        finally:
            visitor.close()


class Processes:
    """Several of them on one cache: ``async with Processes(4, "redis", url) as site``."""

    def __init__(self, number: int, kind: str, url: str, patience: float = PATIENCE) -> None:
        self.all = [AppProcess(kind, url, patience) for _ in range(number)]

    async def __aenter__(self) -> Self:
        try:
            await asyncio.gather(*(each.start() for each in self.all))
        except BaseException:
            self.kill()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self.kill()

    @property
    def ports(self) -> list[int]:
        return [each.port for each in self.all]

    def kill(self) -> None:
        for each in self.all:
            each.kill()
