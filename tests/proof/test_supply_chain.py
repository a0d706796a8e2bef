"""What the tests run with is pinned, and each of it is explained in the docs."""

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from tests.proof.advisories import REGISTER, exported_register, own_register, vulnerable
from tests.proof.lock import LOCK, ROOT, differing, locked, normal

DEPENDENCIES = ROOT / "docs" / "reference" / "dependencies.md"


def test_every_locked_version_has_a_hash_and_no_line_names_a_registry() -> None:
    text = LOCK.read_text()

    assert len(locked(text)) > 20
    assert "://" not in text
    assert "index-url" not in text


def test_a_line_without_a_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="tornado==6"):
        locked("tornado==6.6.1\n")


def test_every_dependency_of_package_and_tests_is_locked() -> None:
    versions = locked(LOCK.read_text())

    assert _required() - set(versions) == set()


def test_every_dependency_is_explained_in_the_docs_and_what_it_brings_is_named() -> None:
    text = DEPENDENCIES.read_text()

    # A row has three columns: what, why, and what would replace it.
    explained = {normal(row[0]) for row in re.findall(r"^\| `([^`]+)` \|([^|]+)\|([^|]+)\|$", text, re.MULTILINE)}
    named = {
        normal(name) for line in text.splitlines() if line.startswith("| `") for name in re.findall("`([^`]+)`", line)
    }

    assert _required() - explained == set()
    assert locked(LOCK.read_text()).keys() - named == set()


def test_nothing_is_known_against_a_locked_version() -> None:
    assert vulnerable(locked(LOCK.read_text()), own_register()) == {}


def test_a_version_with_a_known_vulnerability_is_noticed() -> None:
    versions = {"tornado": "6.5.7", "cryptography": "50.0.0", "pymongo": "4.18.0"}

    found = vulnerable(versions, own_register())

    assert "GHSA-mpf4-983q-p7j4" in found["tornado 6.5.7"]
    assert "GHSA-pw6j-qg29-8w7f" not in found["tornado 6.5.7"]
    assert found["pymongo 4.18.0"] == ["CVE-2026-88029"]
    assert "cryptography 50.0.0" not in found


def test_the_register_is_about_what_is_locked_and_says_when_it_was_read() -> None:
    entries = tomllib.loads(REGISTER.read_text())

    assert entries.keys() - locked(LOCK.read_text()).keys() == set()
    assert [package for package, about in entries.items() if "read" not in about] == []


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [("0.9", False), ("1.0", True), ("1.1.9", True), ("1.2", False), ("2.0", True), ("2.1", True), ("2.2", False)],
)
def test_the_export_of_a_whole_register_is_understood(version: str, is_affected: bool, tmp_path: Path) -> None:
    events = [{"introduced": "1.0"}, {"fixed": "1.2"}, {"introduced": "2.0"}, {"last_affected": "2.1"}]
    export = _export(tmp_path, events)

    found = vulnerable({"some-thing": version}, exported_register(export, ["some-thing"]))

    assert found == ({f"some-thing {version}": ["OSV-1"]} if is_affected else {})


def test_what_is_never_fixed_affects_all_later_versions_and_what_was_withdrawn_none(tmp_path: Path) -> None:
    for_ever, withdrawn = [{"introduced": "0"}], {"withdrawn": "2026-01-01T00:00:00Z"}

    found = vulnerable({"some-thing": "9"}, exported_register(_export(tmp_path, for_ever), ["some-thing"]))
    nothing = vulnerable({"some-thing": "9"}, exported_register(_export(tmp_path, for_ever, withdrawn), ["some-thing"]))

    assert found == {"some-thing 9": ["OSV-1"]}
    assert nothing == {}


def test_what_is_installed_is_what_was_locked() -> None:
    if os.environ.get("TORNADO_SESSION_LOCKED") != "1":
        pytest.skip("TORNADO_SESSION_LOCKED is not 1: this environment was not installed from tests/requirements.lock")

    assert differing(locked(LOCK.read_text())) == {}


def test_another_version_than_the_locked_one_is_noticed() -> None:
    assert "pytest" in differing({"pytest": "0.0.1", "not-installed-anywhere": "1"})
    assert "not-installed-anywhere" not in differing({"not-installed-anywhere": "1"})


def _required() -> set[str]:
    """The names that pyproject.toml asks for: the package itself, its extras for stores, and its tests."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    chosen = ("test", "mongodb", "motor", "redis", "sql")
    wanted = [*project["dependencies"], *(line for name in chosen for line in extras[name])]
    names = {normal(re.split(r"[\[<>=!~; ]", line)[0]) for line in wanted}
    return names - {normal(project["name"])}


def _export(directory: Path, events: list[dict[str, str]], more: dict[str, str] | None = None) -> Path:
    """A register of one document, as OSV writes it."""
    ranges = [{"type": "ECOSYSTEM", "events": events}]
    affected: list[dict[str, Any]] = [{"package": {"ecosystem": "PyPI", "name": "Some_Thing"}, "ranges": ranges}]
    path = directory / "all.zip"
    with ZipFile(path, "w") as export:
        export.writestr("OSV-1.json", json.dumps({"id": "OSV-1", "affected": affected} | (more or {})))
    return path
