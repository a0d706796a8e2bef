"""Who is compared: one line per contender."""

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.process import ContenderServer
from benchmarks.servers.common import SESSION

SERVERS: Final = Path(__file__).parent / "servers"
USUAL: Final = ("read", "written", "none")
TEMP_DATA: Final = ("temp_set", "temp_read")
CARRIED: Final = "carried"
"""The bare route, asked with the session's cookie: what a longer request costs the framework alone."""

OURS: Final = "tornado_session"
OURS_REFRESH_INTERVAL: Final = "tornado_session, refresh_interval"
BY_HAND: Final = "by hand, PyMongo Async"
BY_HAND_SLIDING: Final = "by hand, expiry moved by every read"


@dataclass(frozen=True, slots=True)
class Contender:
    """A way to keep sessions: which program, on which store."""

    name: str
    group: str
    """``memory``, ``mongodb``, ``redis`` or ``sqlite``: what it is compared with."""
    program: str
    store: str
    """What the program calls the store."""
    kind: str = "peer"
    """``ours``, ``peer``, or ``by hand``: no package at all, and no protection."""
    connections: tuple[int, ...] = (16,)
    """How many requests are under way at a time, in turn."""
    routes: tuple[str, ...] = USUAL

    @property
    def title(self) -> str:
        """Its name and what it keeps sessions in."""
        return f"{self.name} ({self.group})"

    @property
    def warm_up(self) -> int:
        """How many requests come before the first that counts: V8 compiles what has run some thousand times.

        And Python's garbage collector looks at all that was imported once more, some two thousand requests after the
        start and then hardly ever: its 27 ms would be half of what 400 requests of a block cost.
        """
        return 5000 if self.program.endswith(".js") else 1500

    def server(self, url: str) -> ContenderServer:
        """Its server, not yet started; raises ``RuntimeError`` when something it needs is missing."""
        options = ["--store", self.store, "--url", url]
        if self.program.endswith(".js"):
            return ContenderServer(["node", str(SERVERS / self.program), *options], environment=_node_environment())
        return ContenderServer([sys.executable, "-m", f"benchmarks.servers.{self.program}", *options])


CONTENDERS: Final = (
    Contender(OURS, "memory", "ours", "memory", "ours", routes=(*USUAL, CARRIED, *TEMP_DATA)),
    Contender("torndsession", "memory", "torndsession_server", "memory"),
    Contender("starsessions", "memory", "starsessions_server", "memory"),
    Contender("Django, locmem", "memory", "django_server", "memory"),
    Contender("express-session", "memory", "express_server.js", "memory"),
    Contender("by hand, a dict", "memory", "by_hand", "memory", "by hand", routes=(*USUAL, CARRIED, *TEMP_DATA)),
    Contender("by hand, a mixin", "memory", "by_hand_mixin", "memory", "by hand"),
    Contender("by hand, our promises", "memory", "by_hand_promises", "memory", "by hand"),
    Contender(OURS, "mongodb", "ours", "mongodb", "ours", (16, 1, 64)),
    Contender(OURS_REFRESH_INTERVAL, "mongodb", "ours", "mongodb+60", "ours", (16, 1, 64)),
    Contender(f"{OURS}, Motor", "mongodb", "ours", "mongodb-motor", "ours"),
    Contender("aiohttp-session", "mongodb", "aiohttp_server", "mongodb", connections=(16, 64)),
    Contender("aiohttp-session, Motor", "mongodb", "aiohttp_server", "mongodb-motor", connections=(16, 64)),
    Contender("Flask-Session", "mongodb", "flask_server", "mongodb", connections=(16, 64)),
    Contender("connect-mongo, touchAfter", "mongodb", "express_server.js", "mongodb", connections=(16, 64)),
    Contender(BY_HAND, "mongodb", "by_hand", "mongodb", "by hand", (16, 1, 64)),
    Contender(BY_HAND_SLIDING, "mongodb", "by_hand", "mongodb-sliding", "by hand", (16, 1)),
    Contender("by hand, Motor", "mongodb", "by_hand", "mongodb-motor", "by hand"),
    Contender(OURS, "redis", "ours", "redis", "ours"),
    Contender(OURS_REFRESH_INTERVAL, "redis", "ours", "redis+60", "ours"),
    Contender("aiohttp-session", "redis", "aiohttp_server", "redis"),
    Contender("starsessions", "redis", "starsessions_server", "redis"),
    Contender(OURS, "sqlite", "ours", "sqlite", "ours"),
)
GROUPS: Final = tuple(dict.fromkeys(contender.group for contender in CONTENDERS))


def _node_environment() -> Mapping[str, str]:
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise RuntimeError("needs Node 20 or later, with npm")
    return {"NODE_PATH": str(_node_modules()), "NODE_ENV": "production", "BENCHMARK_SESSION": json.dumps(SESSION)}


def _node_modules() -> Path:
    """Install what ``package.json`` names into a temporary folder, once, and not into the source."""
    wanted = (SERVERS / "package.json").read_bytes()
    folder = Path(tempfile.gettempdir()) / f"tornado-session-benchmark-{hashlib.sha256(wanted).hexdigest()[:12]}"
    modules = folder / "node_modules"
    if modules.is_dir():
        return modules
    folder.mkdir(exist_ok=True)
    (folder / "package.json").write_bytes(wanted)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts"]
    done = subprocess.run(command, cwd=folder, capture_output=True, timeout=300, check=False)
    if done.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        raise RuntimeError(f"npm install failed: {done.stderr.decode(errors='replace')[-500:]}")
    return modules
