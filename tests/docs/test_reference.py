"""The reference is complete, and what pages quote from the code is what stands there."""

import ast
import inspect
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

import tornado_session
import tornado_session.testing
from tests.docs.pages import DOCS, all_pages, name_of

PACKAGE = Path(tornado_session.__file__).parent
TESTS = Path(__file__).parents[1]
ROOT_NAMES = sorted(tornado_session.__all__)
CLASSES = [name for name in ROOT_NAMES if inspect.isclass(getattr(tornado_session, name))]
TESTING_NAMES = sorted(tornado_session.testing.__all__)
API = (DOCS / "reference" / "api.md").read_text()


@pytest.mark.parametrize("name", ROOT_NAMES)
def test_every_public_name_is_in_the_reference_and_has_a_docstring(name: str) -> None:
    subject = getattr(tornado_session, name)

    assert re.search(rf":: tornado_session\.{name}\b", API)
    assert inspect.getdoc(subject)


@pytest.mark.parametrize("name", TESTING_NAMES)
def test_every_name_for_tests_is_in_the_reference_and_has_a_docstring(name: str) -> None:
    subject = getattr(tornado_session.testing, name)

    assert f":: tornado_session.testing.{name}" in API
    assert inspect.getdoc(subject)


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_member_has_a_docstring(name: str) -> None:
    subject = getattr(tornado_session, name)

    assert [member for member in public_members(subject) if not inspect.getdoc(getattr(subject, member))] == []


@pytest.mark.parametrize("name", CLASSES)
def test_every_public_field_is_explained_below_its_definition(name: str) -> None:
    subject = getattr(tornado_session, name)

    assert [field for field in fields(subject) if field not in explained_fields(subject)] == []


def test_the_caches_with_a_driver_are_in_the_reference() -> None:
    for name in ("mongodb.MongoCache", "redis.RedisCache", "sql.SQLCache", "sql.create_cache_engine"):
        assert f":: tornado_session.caching.{name}" in API


def test_the_page_of_errors_has_a_section_for_every_error() -> None:
    page = (DOCS / "reference" / "errors.md").read_text()
    errors = [name for name in ROOT_NAMES if name.endswith("Error") and name != "SessionError"]

    assert [name for name in errors if f"\n## {name}\n" not in page] == []


def test_the_tree_of_errors_is_that_of_the_classes() -> None:
    tree = (PACKAGE / "errors.py").read_text().split("code-block:: text")[1].split("Messages say")[0]
    parents: dict[int, str] = {}
    drawn = {}
    for line in tree.splitlines():
        names = re.findall(r"\b[A-Z]\w+Error\b", line.split("answers")[0].split("(")[0])
        depth = len(line) - len(line.lstrip(" │├└─"))
        for name in names:
            drawn[name] = parents.get(max((level for level in parents if level < depth), default=-1), "Exception")
        if names:
            parents = {level: parent for level, parent in parents.items() if level < depth} | {depth: names[0]}

    public = {name: getattr(tornado_session, name) for name in ROOT_NAMES if name.endswith("Error")}
    assert drawn.keys() == public.keys()
    assert {
        name: parent for name, parent in drawn.items() if parent not in [base.__name__ for base in public[name].__mro__]
    } == {}


# -- log messages -----------------------------------------------------------------------------------------------------

LEVELS = {
    "debug": "DEBUG",
    "info": "INFO",
    "warning": "WARNING",
    "warn": "WARNING",
    "warning_once": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
}
# Passed on as they are; their texts are made elsewhere, and are listed as they come out.
MADE_ELSEWHERE = {
    ("WARNING", "a stored session cannot be read: …"),
    ("ERROR", "sessions in … work, but … until an administrator runs in mongosh: …"),
}


def test_every_log_message_is_listed_with_its_level_and_none_that_does_not_exist() -> None:
    sources = [path for path in PACKAGE.rglob("*.py") if path.name != "logs.py" and "testing" not in path.parts]
    logged = {found for path in sources for found in log_messages(path)}
    rows = re.findall(r"^\| (\w+) \| `(.+?)` \|", (DOCS / "reference" / "logs.md").read_text(), re.MULTILINE)

    assert len(logged) >= 10
    assert set(rows) == logged | MADE_ELSEWHERE


def log_messages(path: Path) -> Iterator[tuple[str, str]]:
    """Level and text of every message that a module logs; what varies is ``…``."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr not in LEVELS:
            continue
        if not ast.unparse(node.func.value).endswith(("log", "logger", "request", "self")):
            continue
        texts = [text for text in map(template, node.args) if text and " " in text]
        if texts:
            yield LEVELS[node.func.attr], max(texts, key=len)


def template(node: ast.expr) -> str:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return re.sub(r"(%s|%d)+", "…", node.value)
    if isinstance(node, ast.JoinedStr):
        return "".join(template(part) if isinstance(part, ast.Constant) else "…" for part in node.values)
    return ""


def test_a_message_is_found_whatever_its_spelling(tmp_path: Path) -> None:
    module = tmp_path / "module.py"
    module.write_text('logger.error("lost %d of %s", 1, 2)\nself.log.warning(logger, "kind", f"odd {x}, {y}")\n')

    assert list(log_messages(module)) == [("ERROR", "lost … of …"), ("WARNING", "odd …, …")]


# -- what pages name --------------------------------------------------------------------------------------------------


def all_tests() -> set[str]:
    sources = [*TESTS.rglob("*.py"), *(PACKAGE / "testing").rglob("*.py")]
    return {name for path in sources for name in re.findall(r"def (test_\w+)\(", path.read_text())}


def test_every_test_that_a_page_names_exists() -> None:
    existing = all_tests()
    named = [(name_of(page), name) for page in all_pages() for name in re.findall(r"`(test_\w+)`", page.read_text())]

    assert len(named) >= 30
    assert [(page, name) for page, name in named if name not in existing] == []


def test_every_demo_that_a_page_names_exists() -> None:
    named = {name for page in all_pages() for name in re.findall(r"`(demos/\w+\.py)`", page.read_text())}

    assert named
    assert [name for name in named if not (TESTS.parent / name).exists()] == []


def public_members(subject: type) -> list[str]:
    """Names of the methods and properties that a class itself or a base in this package defines."""
    ours = [base for base in subject.__mro__ if base.__module__.startswith("tornado_session")]
    return sorted(
        name
        for base in ours
        for name, value in vars(base).items()
        if not name.startswith("_") and (inspect.isfunction(value) or isinstance(value, property | classmethod))
    )


def fields(subject: type) -> list[str]:
    own = [base for base in subject.__mro__ if base.__module__.startswith("tornado_session")]
    return [name for base in own for name in vars(base).get("__annotations__", {}) if not name.startswith("_")]


def explained_fields(subject: type) -> set[str]:
    """Fields of a class with a string below them, which says what they are."""
    own: list[Any] = [base for base in subject.__mro__ if base.__module__.startswith("tornado_session")]
    return {name for base in own for name in _explained(ast.parse(dedent(inspect.getsource(base))))}


def _explained(tree: ast.Module) -> Iterator[str]:
    (definition,) = tree.body
    assert isinstance(definition, ast.ClassDef)
    for statement, following in pairwise(definition.body):
        target = statement.target if isinstance(statement, ast.AnnAssign) else None
        is_text = isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant)
        if isinstance(target, ast.Name) and is_text:
            yield target.id
