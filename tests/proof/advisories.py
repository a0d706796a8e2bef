"""Known vulnerabilities of the locked versions, found without a connection.

``python -m tests.proof.advisories [FILE]`` asks ``advisories.toml`` beside it; with a file, the export of a register: a
zip file of JSON documents as OSV describes them. Ends with status 1 when a locked version is affected.
"""

import json
import sys
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple
from zipfile import ZipFile

from packaging.specifiers import SpecifierSet

from tests.proof.lock import LOCK, locked, normal

REGISTER: Final = Path(__file__).with_name("advisories.toml")


class Advisory(NamedTuple):
    """What is wrong with some versions of one package: with those in one of the ranges, and those named one by one."""

    name: str
    package: str
    ranges: tuple[SpecifierSet, ...]
    versions: frozenset[str] = frozenset()

    def affects(self, version: str) -> bool:
        """Whether this version has the vulnerability."""
        return version in self.versions or any(each.contains(version, prereleases=True) for each in self.ranges)


def own_register(path: Path = REGISTER) -> list[Advisory]:
    """Read the register that is kept by hand."""
    return [
        Advisory(name, normal(package), (SpecifierSet(f"<{fixed}"),))
        for package, entries in tomllib.loads(path.read_text()).items()
        for fixed, names in entries.items()
        if fixed != "read"
        for name in names
    ]


def exported_register(path: Path, packages: Iterable[str]) -> Iterator[Advisory]:
    """Read what an export knows of these packages; what was withdrawn is left out."""
    wanted = {normal(package) for package in packages}
    with ZipFile(path) as export:
        for member in export.namelist():
            if not member.endswith(".json"):
                continue
            document = json.loads(export.read(member))
            for affected in document.get("affected", ()) if "withdrawn" not in document else ():
                about = affected.get("package", {})
                if about.get("ecosystem") == "PyPI" and normal(about["name"]) in wanted:
                    yield _advisory(document["id"], affected)


def vulnerable(versions: Mapping[str, str], register: Iterable[Advisory]) -> dict[str, list[str]]:
    """The names of what is known of these versions, by package and version."""
    found: dict[str, list[str]] = {}
    for advisory in register:
        version = versions.get(advisory.package)
        if version is not None and advisory.affects(version):
            found.setdefault(f"{advisory.package} {version}", []).append(advisory.name)
    return found


def _advisory(name: str, affected: dict[str, Any]) -> Advisory:
    ranges = [
        each
        for described in affected.get("ranges", ())
        if described.get("type") == "ECOSYSTEM"
        for each in _ranges(described.get("events", ()))
    ]
    return Advisory(name, normal(affected["package"]["name"]), tuple(ranges), frozenset(affected.get("versions", ())))


def _ranges(events: Iterable[Mapping[str, str]]) -> Iterator[SpecifierSet]:
    """From ``{"introduced": "1.0"}, {"fixed": "1.2"}, ...``, in the order of the versions."""
    since: str | None = None
    for event in events:
        if "introduced" in event:
            since = f">={event['introduced']}"
        elif since is not None and "fixed" in event:
            yield SpecifierSet(f"{since},<{event['fixed']}")
            since = None
        elif since is not None and "last_affected" in event:
            yield SpecifierSet(f"{since},<={event['last_affected']}")
            since = None
    if since is not None:
        yield SpecifierSet(since)


def main() -> int:
    """Say what is known of the locked versions."""
    versions = locked(LOCK.read_text())
    register = list(exported_register(Path(sys.argv[1]), versions)) if len(sys.argv) > 1 else own_register()
    found = vulnerable(versions, register)
    for version, names in found.items():
        print(f"{version}: {', '.join(names)}")
    print(f"{len(versions)} versions, {len(register)} advisories about them, {len(found)} affected")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
