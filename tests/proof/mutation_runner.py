"""Runs tests on mutants, each in a forked child of a process that has everything but the package imported already.

A child replaces one module of the package while it is imported: no file is written, and nothing has to be undone.
"""

import gc
import importlib
import json
import os
import resource
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import accumulate
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, Final

import coverage
import pytest
from hypothesis import HealthCheck, settings

PROFILE: Final = "mutation"
MOST_SECONDS: Final = 12.0
_MOST_MEMORY: Final = 4 * 2**30
_LIKELIEST: Final = 8
_OPTIONS: Final = ["--rootdir", ".", "-x", "-q", "-p", "no:cacheprovider", "--tb=no", "--no-header"]


@dataclass(frozen=True)
class Verdict:
    """What became of a mutant: ``killed`` by the test ``by``, a ``timeout``, or ``survived``."""

    outcome: str
    by: str = ""


@dataclass
class Tests:
    """The tests of a group: how long each took on the package as it is, and which lines of which module it ran."""

    seconds: dict[str, float]
    lines: dict[str, dict[int, set[str]]]
    at_import: dict[str, set[int]]
    kills: Counter[str] = field(default_factory=Counter)

    def of(self, module: str, lines: range) -> list[str]:
        """The tests that can notice a change on these lines: those that have killed most first, then the quickest.

        No more of them than take ``MOST_SECONDS`` together: what these do not notice counts as not noticed.
        """
        if self.at_import[module].intersection(lines):
            chosen = set(self.seconds)
        else:
            chosen = set().union(*(self.lines[module].get(line, set()) for line in lines))
        ordered = sorted(chosen, key=lambda test: (-self.kills[test], self.seconds[test]))
        ends = accumulate(self.seconds[test] for test in ordered)
        return [test for test, end in zip(ordered, ends, strict=True) if end <= MOST_SECONDS]


def prepare() -> None:
    """Set up what all children share."""
    settings.register_profile(
        PROFILE,
        max_examples=20,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    os.environ["HYPOTHESIS_PROFILE"] = PROFILE
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
    sys.dont_write_bytecode = False  # What is compiled once, in the copy, no child compiles again.


def warm_up(files: list[str]) -> None:
    """Import what these tests import, once for all children; all but what is in this directory."""

    def imported() -> list[str]:
        _run_pytest([*files, "--collect-only"], [])
        here = str(Path.cwd())
        return [name for name, module in sys.modules.items() if here not in (getattr(module, "__file__", "") or "")]

    for name in in_child(imported, limit=120.0) or []:
        try:
            importlib.import_module(name)
        except Exception:  # noqa: BLE001 - then the children import it themselves
            continue
    gc.freeze()


def measure(files: list[str], modules: list[str], *, slowest: float) -> Tests:
    """Run all tests of ``files`` on the package as it is; those slower than ``slowest`` seconds are not used.

    Raises ``RuntimeError`` when one fails: then nothing can be learned from mutants.
    """
    found = in_child(lambda: _measured(files, modules), limit=600.0)
    if not found or found["failed"] or not found["seconds"]:
        raise RuntimeError(f"the tests do not pass on the package as it is: {found and found['failed']}")
    seconds = {test: took for test, took in found["seconds"].items() if took <= slowest}
    tests = Tests(seconds, {}, {})
    for module in modules:
        lines = {int(line): set(names) for line, names in found["lines"].get(module, {}).items()}
        tests.at_import[module] = {line for line, names in lines.items() if "" in names}
        tests.lines[module] = {line: names & seconds.keys() for line, names in lines.items()}
    return tests


def judge(module: str, source: str | None, tests: list[str], *, limit: float = 5.0) -> Verdict:
    """Run ``tests`` on the package with ``source`` in the place of ``module``; ``None``: on the package as it is.

    ``limit``: the seconds that any one of them may take, and that it may take to import them all.
    """
    if not tests:
        return Verdict("survived", "no test runs this line")
    # The likeliest by themselves, so that most mutants are killed before the files of the others are imported.
    for some in filter(None, (tests[:_LIKELIEST], tests[_LIKELIEST:])):
        result = in_child(partial(_run_on_mutant, module, source, some, limit), limit=limit)
        if result is None:
            return Verdict("timeout")
        if result["code"] != pytest.ExitCode.OK or result["ran"] != len(some):
            return Verdict("killed", result["failed"] or "it cannot be imported")
    return Verdict("survived")


def in_child(work: Callable[[], Any], *, limit: float) -> Any:
    """Give what ``work`` returns in a forked child, as JSON; ``None`` if it was not done in ``limit`` seconds."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_child(work, writing, limit)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return None if os.WTERMSIG(status) == signal.SIGALRM else {"code": -1, "ran": 0, "failed": "the process died"}
    return json.loads(answer)


def _be_child(work: Callable[[], Any], writing: int, limit: float) -> None:
    code = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.setitimer(signal.ITIMER_REAL, limit)
        resource.setrlimit(resource.RLIMIT_AS, (_MOST_MEMORY, _MOST_MEMORY))
        nothing = os.open(os.devnull, os.O_RDWR)
        for stream in (0, 1, 2):
            os.dup2(nothing, stream)
        answer = json.dumps(work()).encode()
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(answer)
        code = 0
    except BaseException as error:  # noqa: BLE001 - the parent is to know, and must not go on twice
        os.write(writing, json.dumps({"code": -1, "ran": 0, "failed": f"{type(error).__name__}"}).encode())
    finally:
        os._exit(code)


def _run_on_mutant(module: str, source: str | None, tests: list[str], limit: float) -> dict[str, Any]:
    if source is not None:
        sys.meta_path.insert(0, _Mutation(module, source))
    chosen = _Chosen(tests, limit)
    code = _run_pytest(sorted({test.partition("::")[0] for test in tests}), [chosen])
    return {"code": int(code), "ran": chosen.ran, "failed": chosen.failed}


def _run_pytest(arguments: list[str], plugins: list[object]) -> int:
    return int(pytest.main([*_OPTIONS, *arguments], plugins=plugins))


def _measured(files: list[str], modules: list[str]) -> dict[str, Any]:
    measuring = coverage.Coverage(data_file=None, include=[str(Path(module).resolve()) for module in modules])
    measuring.start()
    plugin = _Measuring(measuring)
    code = _run_pytest(files, [plugin])
    measuring.stop()
    data = measuring.get_data()
    return {
        "code": code,
        "failed": plugin.failed,
        "seconds": plugin.seconds,
        "lines": {module: data.contexts_by_lineno(str(Path(module).resolve())) for module in modules},
    }


class _Chosen:
    """Runs some of the tests that were collected, in an order of our own, and ends the process when one takes long."""

    def __init__(self, tests: list[str], limit: float) -> None:
        self._limit = limit
        self._places = {test: place for place, test in enumerate(tests)}
        self.ran = 0
        self.failed = ""

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._places), key=lambda item: self._places[item.nodeid]
        )

    def pytest_runtest_logstart(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, self._limit)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.ran += report.when == "teardown"
        if report.failed and not self.failed:
            self.failed = report.nodeid


class _Measuring:
    """Notes how long each test takes and which lines it runs; a skipped test is none."""

    def __init__(self, measuring: coverage.Coverage) -> None:
        self._measuring = measuring
        self.seconds: dict[str, float] = defaultdict(float)
        self.failed = ""

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        self._measuring.switch_context(item.nodeid)
        begun = time.perf_counter()
        result = yield
        self._measuring.switch_context("")
        if item.nodeid in self.seconds:
            self.seconds[item.nodeid] = time.perf_counter() - begun
        return result

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.failed = f"{report.nodeid}: {report.longreprtext[-2000:]}"
        if report.when == "call" and report.passed:
            self.seconds[report.nodeid] = 0.0


class _Mutation:
    """Finds one module with other source, and leaves all others to Python."""

    def __init__(self, path: str, source: str) -> None:
        self._name = ".".join(Path(path).with_suffix("").parts).removesuffix(".__init__")
        self._path = str(Path(path).resolve())
        self._source = source

    def find_spec(
        self, name: str, path: Iterable[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if name != self._name:
            return None
        return spec_from_file_location(name, self._path, loader=_MutantLoader(name, self._path, self._source))


class _MutantLoader(SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self._source = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._source, self.path, "exec", dont_inherit=True)
