"""What the tests run with is pinned, and each of it is explained in the docs."""

import os
import re
import tomllib

import pytest

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


def test_every_dependency_is_explained_in_the_docs() -> None:
    explained = {normal(name) for name in re.findall(r"^\| `([^`]+)`", DEPENDENCIES.read_text(), re.MULTILINE)}

    assert _required() - explained == set()


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
