"""MariaDBServer: a MariaDB of one's own, from the operating system's package ``mariadb-server``."""

import getpass
import os
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

from tornado_session.testing.servers.process import ServerMissingError, ServerProcess

DATABASE: Final = "test"
_SYSTEM_DIRECTORIES: Final = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/usr/local/sbin"))


class MariaDBServer(ServerProcess):
    """A MariaDB on loopback TCP, without passwords and without fsync: for tests, not for data."""

    def command(self) -> list[str]:
        return [
            _program("mariadbd", "mysqld"),
            "--no-defaults",
            f"--user={getpass.getuser()}",
            f"--datadir={self._data}",
            f"--socket={self.directory / 'socket'}",
            f"--pid-file={self.directory / 'pid'}",
            "--bind-address=127.0.0.1",
            f"--port={self.port}",
            "--skip-grant-tables",
            "--skip-networking=0",
            "--skip-log-bin",
            "--innodb-flush-log-at-trx-commit=2",
            "--innodb-buffer-pool-size=32M",
            "--innodb-lock-wait-timeout=5",
        ]

    def answers(self) -> bool:
        # The server speaks first: a packet that names its protocol and version.
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                return bool(probe.recv(1))
        except OSError:
            return False

    @property
    def url(self) -> str:
        return f"mysql://root@127.0.0.1:{self.port}/{DATABASE}"

    def start(self) -> None:
        if not self._data.exists():
            self._initialize()
        super().start()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _initialize(self) -> None:
        """Make the data directory, which takes a few seconds."""
        program = _program("mariadb-install-db", "mysql_install_db")
        options = ["--no-defaults", f"--user={getpass.getuser()}", f"--datadir={self._data}"]
        more = ["--auth-root-authentication-method=normal", "--skip-name-resolve"]
        done = subprocess.run([program, *options, *more], cwd=self.directory, capture_output=True, check=False)
        if done.returncode:
            raise TimeoutError(f"{program} failed:\n{done.stderr.decode(errors='replace')[-2000:]}")
        (self._data / DATABASE).mkdir(exist_ok=True)


def _program(*names: str) -> str:
    for name in names:
        path = shutil.which(name, path=_SYSTEM_DIRECTORIES)
        if path is not None:
            return path
    raise ServerMissingError(f"there is no {names[0]}; install MariaDB with: apt-get install mariadb-server")
