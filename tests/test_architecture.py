"""Imports only climb down: the package is held to its floors."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import tornado_session

ROOT = Path(tornado_session.__file__).parent
DRIVERS_OF = {
    "caching.mongodb": {"bson", "motor", "pymongo"},
    "caching.redis": {"redis", "valkey"},
    "caching.sql": {"sqlalchemy"},
    "testing.servers.mongodb": {"pymongo"},
}
DRIVERS = set().union(*DRIVERS_OF.values())

# A module may import what stands on a lower line, and of its own line only what belongs to the same name or folder.
# "caching" is the whole folder; the first entry that a module's name begins with counts.
FLOORS = [
    ["errors", "items", "logs", "loops", "turns"],
    ["deadline", "serializer", "cookies", "protection", "caching"],
    ["merge", "options", "record", "session_cookie"],
    ["values", "store", "temp_data"],
    ["session_state"],
    ["session"],
    ["application", "flash"],
    ["exchange"],
    ["handler"],
    ["testing", ""],
]
TORNADO = {"exchange", "flash", "handler", "testing.client"}


@cache
def modules() -> dict[str, Path]:
    """All modules, by their name within the package; the root is ``""``."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def imports_of(name: str) -> set[str]:
    """What a module imports, at any depth of its code, with full names."""
    tree = ast.parse(modules()[name].read_text())
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            submodules = {f"{node.module}.{alias.name}" for alias in node.names}
            known = {f"tornado_session.{module}" for module in modules()}
            found.update(submodules & known or {node.module or ""})
    return found


def place_of(name: str) -> tuple[int, str]:
    """The floor of a module, and the entry by which it is there."""
    for floor, entries in enumerate(FLOORS):
        for entry in entries:
            if entry and (name == entry or name.startswith(f"{entry}.")):
                return floor, entry
    assert name == "", f"{name} has no floor: give it one in FLOORS"
    return len(FLOORS) - 1, ""


@pytest.mark.parametrize("name", modules())
def test_imports_only_climb_down(name: str) -> None:
    floor, entry = place_of(name)
    for imported in imports_of(name):
        if imported.split(".")[0] != "tornado_session":
            continue
        other = imported.removeprefix("tornado_session").lstrip(".")
        other_floor, other_entry = place_of(other)
        assert other_entry, f"{name} imports the root of the package"
        assert (other_floor, other_entry == entry) == (floor, True) or other_floor < floor, f"{name} imports {other}"


def test_tornado_is_imported_where_handlers_are() -> None:
    users = {name for name in modules() if any(each.split(".")[0] == "tornado" for each in imports_of(name))}

    assert users <= TORNADO


def test_each_driver_is_imported_in_its_own_folder_alone() -> None:
    for name in modules():
        drivers = {each.split(".")[0] for each in imports_of(name)} & DRIVERS
        allowed = [family for folder, family in DRIVERS_OF.items() if name.startswith(folder)]
        assert drivers <= (allowed[0] if allowed else set()), name


def test_pickle_is_imported_nowhere() -> None:
    unsafe = {"pickle", "marshal", "shelve", "dill"}

    assert not [name for name in modules() if {each.split(".")[0] for each in imports_of(name)} & unsafe]


def test_importing_needs_no_driver_opens_nothing_and_leaves_logging_alone() -> None:
    program = f"""
import logging, socket, sys, threading, warnings
warnings.simplefilter("error")
for driver in {sorted(DRIVERS)!r}:
    sys.modules[driver] = None
def refuse(*args, **kwargs):
    raise AssertionError("importing opened a socket")
handlers = list(logging.getLogger().handlers)
real = socket.socket
import tornado.web, tornado.websocket, tornado.httpclient
socket.socket.__init__ = refuse
import tornado_session, tornado_session.testing
assert logging.getLogger().handlers == handlers
assert logging.getLogger("tornado_session").handlers == []
assert logging.getLogger("tornado_session").level == logging.NOTSET
assert threading.active_count() == 1
import asyncio
assert asyncio._get_running_loop() is None
print("quiet")
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)

    assert (ran.stdout, ran.stderr) == ("quiet\n", "")


def test_the_public_names_are_sorted_complete_and_there() -> None:
    tree = ast.parse((ROOT / "__init__.py").read_text())
    imported = {alias.name for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}

    assert tornado_session.__all__ == sorted(imported)
    assert all(hasattr(tornado_session, name) for name in tornado_session.__all__)


def test_every_error_is_public_except_those_that_are_only_bases_or_never_raised_to_users() -> None:
    tree = ast.parse((ROOT / "errors.py").read_text())
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef)}

    assert defined - set(tornado_session.__all__) == {"TooLargeError"}
