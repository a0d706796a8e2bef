"""The short part of the mutation testing: that it can tell; ``python -m tests.proof.mutation`` is the long one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]

PROGRAM = """
import json
from tests.proof.mutation_runner import judge, measure, prepare, warm_up

prepare()
warm_up(["test_sums.py"])
tests = measure(["test_sums.py"], ["tornado_session/sums.py"], slowest=1.0)
sources = {
    "as it is": (None, range(1, 2)),
    "wrong": ("def larger(a, b):\\n    return a if a < b else b\\n", range(2, 3)),
    "wrong where no test can tell": ("def larger(a, b):\\n    return a if a >= b else b\\n", range(2, 3)),
    "endless": ("def larger(a, b):\\n    while True: pass\\n", range(2, 3)),
    "not to be imported": ("import nothing_of_this_name", range(1, 2)),
    "wrong where no test comes": (None, range(5, 6)),
}
verdicts = {
    name: judge("tornado_session/sums.py", source, tests.of("tornado_session/sums.py", lines), limit=2.0)
    for name, (source, lines) in sources.items()
}
print(json.dumps({name: [verdict.outcome, verdict.by] for name, verdict in verdicts.items()}))
"""


def test_mutants_are_killed_by_the_tests_that_notice_them_and_the_code_as_it_is_passes(tmp_path: Path) -> None:
    (tmp_path / "tornado_session").mkdir()
    (tmp_path / "tornado_session" / "__init__.py").touch()
    (tmp_path / "tornado_session" / "sums.py").write_text(
        "def larger(a, b):\n    return a if a > b else b\n\ndef smaller(a, b):\n    return a if a < b else b\n"
    )
    (tmp_path / "test_sums.py").write_text(
        "from tornado_session.sums import larger\n\n"
        "def test_the_larger_is_given():\n    assert larger(1, 2) == larger(2, 1) == 2\n\n"
        "def test_the_module_is_there():\n    assert larger\n"
    )

    verdicts = json.loads(_output(["-c", PROGRAM], cwd=tmp_path))

    assert verdicts == {
        "as it is": ["survived", ""],
        "wrong": ["killed", "test_sums.py::test_the_larger_is_given"],
        "wrong where no test can tell": ["survived", ""],
        "endless": ["timeout", ""],
        "not to be imported": ["killed", "it cannot be imported"],
        "wrong where no test comes": ["survived", "no test runs this line"],
    }


def test_mutants_of_the_package_are_made_and_killed() -> None:
    _mutants()

    output = _output(["-m", "tests.proof.mutation", "protection/xaes.py", "--most", "3"], cwd=ROOT)

    assert "3 of 3 killed (100.0%)" in output


def test_behaviour_is_changed_one_place_at_a_time() -> None:
    source = "def f(a):\n    if a < 3:\n        g(a)\n    return True\n"

    made = {(mutant.before, mutant.after) for mutant in _mutants().mutants_of("m.py", source)}

    assert made >= {
        ("if a < 3:", "if a <= 3:"),
        ("if a < 3:", "if a < 4:"),
        ("if a < 3:", "if not (a < 3):"),
        ("g(a)", "pass"),
        ("g(a)", "g(None)"),
        ("return True", "return False"),
    }


@pytest.mark.parametrize(
    "source",
    [
        "import os\n",
        'def f() -> "int":\n    """Give 1."""\n',
        "assert 1 + 1\n",
        "Number = int | str\n",
        "class A(Protocol):\n    def f(self, a=1): ...\n",
        "if TYPE_CHECKING:\n    a = 1\n",
        "logger = getLogger('a' 'b')\n",
    ],
)
def test_what_no_behaviour_depends_on_is_left_alone(source: str) -> None:
    assert [mutant.after for mutant in _mutants().mutants_of("m.py", source) if mutant.after != "logger = None"] == []


def test_one_false_value_is_not_put_in_the_place_of_another() -> None:
    made = [mutant.after for mutant in _mutants().mutants_of("m.py", "a = False\nb: int | None = None\nc = True\n")]

    assert made == ["a = True", "c = None", "c = False"]


@pytest.mark.parametrize("line", ['raise ValueError("a", 1)', 'logger.info("a %d", 1)'])
def test_the_wording_of_a_message_is_left_alone_but_not_that_there_is_one(line: str) -> None:
    assert [mutant.after for mutant in _mutants().mutants_of("m.py", f"{line}\n")] == ["pass"]


def _mutants() -> Any:
    return pytest.importorskip("tests.proof.mutants", reason="mutmut is not installed")


def _output(arguments: list[str], *, cwd: Path) -> str:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=environment, check=True, capture_output=True, text=True, timeout=120
    ).stdout
