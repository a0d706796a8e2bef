"""The environment of the tests, pinned: ``python -m tests.proof.lock > tests/requirements.lock`` resolves it anew.

Each line names a version and the SHA-256 of the one file that pip chooses on this Python and this platform.
"""

import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "tests" / "requirements.lock"
_LINE = re.compile(r"([A-Za-z0-9._-]+)==([^ ;]+) --hash=sha256:([0-9a-f]{64})")


def normal(name: str) -> str:
    """A distribution's name as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(text: str) -> dict[str, str]:
    """The versions in a lock file, by name; raises ``ValueError`` for a line without a hash."""
    versions = {}
    for line in text.splitlines():
        if not line or line.startswith("#"):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise ValueError(f"not a pinned version with its hash: {line}")
        versions[normal(match[1])] = match[2]
    return versions


def differing(versions: dict[str, str]) -> dict[str, str]:
    """What is installed in another version than the lock has it; what is not installed is not among it."""
    found = {}
    for name, wanted in versions.items():
        try:
            installed = version(name)
        except PackageNotFoundError:
            continue
        if installed != wanted:
            found[name] = f"{installed} instead of {wanted}"
    return found


def resolved() -> str:
    """Ask pip what it would install for the tests and the proof, and write it down."""
    with TemporaryDirectory() as directory:
        report = Path(directory, "report.json")
        requirements = [f"{ROOT}[test]", "-r", str(ROOT / "tests" / "proof" / "requirements.txt")]
        options = ["--dry-run", "--ignore-installed", "--quiet", "--report", str(report)]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, *requirements], check=True)
        chosen = json.loads(report.read_text())["install"]
    lines = sorted(_line(one) for one in chosen if "dir_info" not in one["download_info"])
    platform = f"Python {sys.version_info[0]}.{sys.version_info[1]} on {sys.platform}"
    return "\n".join([f"# What the tests run with on {platform}; made by: python -m tests.proof.lock", *lines, ""])


def _line(one: dict[str, dict[str, dict[str, dict[str, str]]]]) -> str:
    metadata, digest = one["metadata"], one["download_info"]["archive_info"]["hashes"]["sha256"]
    return f"{normal(str(metadata['name']))}=={metadata['version']} --hash=sha256:{digest}"


if __name__ == "__main__":
    print(resolved(), end="")
