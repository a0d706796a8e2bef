"""A demo in a process of its own, for the tests and for the screenshots."""

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

from tornado_session.testing.servers.process import free_port

CHECKOUT = Path(__file__).parents[1]


@contextmanager
def running(name: str, *arguments: str) -> Iterator[str]:
    """Start ``python -m demos.NAME`` on a free loopback port, yield its URL, and end it by its own id."""
    port = free_port()
    command = [sys.executable, "-m", f"demos.{name}", f"--port={port}", "--logging=error", *arguments]
    process = subprocess.Popen(command, cwd=CHECKOUT, stdout=subprocess.DEVNULL)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str, process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            urlopen(url, timeout=5).close()
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return
