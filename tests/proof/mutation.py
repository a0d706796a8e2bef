"""``python -m tests.proof.mutation [MODULE ...] [--seed N --most N]``: do the tests notice when the code is wrong?

Makes small wrong changes to the package, one at a time (see ``mutants.py``), and runs on each the tests that run the
changed line. A mutant is killed when a test fails or takes far too long. Prints who survived, and how many in how
long. Ends with status 1 when in any group of modules fewer than nine in ten are killed. What is listed in
``survivors.md`` with the reason why it survives is counted as a survivor and, without ``--again``, not tried.

``MODULE``: a part of a path, such as ``protection/`` or ``values.py``; left out: all subjects. Works on a copy in a
temporary directory. Only tests within one process are used: no servers of caches, no browser, no other processes.
"""

import argparse
import os
import random
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.proof.mutants import Mutant, mutants_of
from tests.proof.mutation_runner import Tests, Verdict, judge, measure, prepare, warm_up

ROOT = Path(__file__).parents[2]
SURVIVORS = Path(__file__).with_name("survivors.md")
ENOUGH = 0.9
SLOWEST_TEST = 1.0
LISTED = "listed"
_IN_COPY = "TORNADO_SESSION_MUTATION_COPY"

SESSION_TESTS = [
    "tests/test_application.py",
    "tests/test_conflicts.py",
    "tests/test_cookies_of_sessions.py",
    "tests/test_ended_sessions.py",
    "tests/test_failures.py",
    "tests/test_handler.py",
    "tests/test_items.py",
    "tests/test_session.py",
    "tests/test_session_cookie.py",
    "tests/test_sign_in.py",
    "tests/test_stored_sessions.py",
    "tests/test_turns.py",
    "tests/test_websocket.py",
    "tests/temp_data/test_field_and_flash.py",
    "tests/temp_data/test_session.py",
    "tests/temp_data/test_stories.py",
]
GROUPS: dict[str, tuple[list[str], list[str]]] = {
    "protection": (
        ["protection/key_ring.py", "protection/protector.py", "protection/xaes.py"],
        ["tests/protection", "tests/test_session_cookie.py"],
    ),
    "cookies": (
        ["cookies/chunking.py", "cookies/encoding.py", "cookies/options.py"],
        ["tests/cookies", "tests/temp_data/test_cookie.py", "tests/test_cookies_of_sessions.py"],
    ),
    "memory": (
        ["caching/memory.py", "caching/memory_table.py"],
        ["tests/caching/test_memory.py", "tests/caching/test_options.py"],
    ),
    "session": (["values.py", "session_state.py", "session.py"], SESSION_TESTS),
    "handler": (["handler.py"], SESSION_TESTS),
    "exchange": (["exchange.py"], SESSION_TESTS),
    "deadline": (["deadline.py"], ["tests/test_deadline.py", "tests/test_failures.py"]),
    "store": (["merge.py", "record.py", "session_cookie.py", "store.py", "turns.py"], SESSION_TESTS),
}
"""The modules of each group, and the tests that are to notice what is wrong in them."""


def main() -> int:
    options = _parser().parse_args()
    if _IN_COPY not in os.environ:
        return _run_in_copy()
    prepare()
    enough = True
    for group in GROUPS:
        enough &= _run_group(group, options)
    return 0 if enough else 1


def _run_in_copy() -> int:
    with TemporaryDirectory(prefix="tornado-session-mutation-") as directory:
        for name in ("tornado_session", "tests", "demos", "conftest.py", "pyproject.toml"):
            source, target = ROOT / name, Path(directory, name)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        command = [sys.executable, "-m", "tests.proof.mutation", *sys.argv[1:]]
        return subprocess.run(command, cwd=directory, env=os.environ | {_IN_COPY: "1"}, check=False).returncode


def _run_group(group: str, options: argparse.Namespace) -> bool:
    names, files = GROUPS[group]
    modules = [f"tornado_session/{name}" for name in names]
    if not any(_is_asked_for(module, options.modules) for module in modules):
        return True
    begun = time.monotonic()
    warm_up(files)
    tests = measure(files, modules, slowest=SLOWEST_TEST)
    alone = judge("", None, sorted(tests.seconds))
    if alone.outcome != "survived":
        raise RuntimeError(f"the tests do not pass on the package as it is, in an order of their own: {alone}")
    counts: Counter[str] = Counter()
    for module in modules:
        if _is_asked_for(module, options.modules):
            counts += _run_module(module, tests, options)
    made = counts.total()
    killed = made - counts["survived"]
    print(f"{group}: {killed} of {made} killed ({killed / made:.1%}) by {len(tests.seconds)} tests", end="")
    print(f" in {time.monotonic() - begun:.0f} s\n", flush=True)
    return killed >= ENOUGH * made


def _run_module(module: str, tests: Tests, options: argparse.Namespace) -> Counter[str]:
    begun = time.monotonic()
    counts: Counter[str] = Counter()
    for mutant, verdict in _judged(module, tests, options):
        counts[verdict.outcome] += 1
        if verdict.outcome != "killed" and verdict.by != LISTED:
            print(f"  {verdict.outcome:9}{mutant}  {verdict.by}", flush=True)
    figures = ", ".join(f"{counts[outcome]} {outcome}" for outcome in ("killed", "timeout", "survived"))
    print(f"{module}: {counts.total()} mutants, {figures} in {time.monotonic() - begun:.0f} s", flush=True)
    return counts


def _judged(module: str, tests: Tests, options: argparse.Namespace) -> Iterator[tuple[Mutant, Verdict]]:
    mutants = mutants_of(module, Path(module).read_text())
    if len(mutants) > options.most:
        mutants = random.Random(options.seed).sample(mutants, options.most)
    known = {} if options.again else reasons()
    for mutant in mutants:
        if (mutant.before, mutant.after) in known:
            yield mutant, Verdict("survived", LISTED)
            continue
        chosen = tests.of(module, mutant.lines)
        verdict = judge(module, mutant.source, chosen)
        if verdict.by in tests.seconds:
            tests.kills[verdict.by] += 1
        yield mutant, verdict


def reasons() -> dict[tuple[str, str], str]:
    """Why a change survives, by the line as it is and the line as it was made: the table in ``survivors.md``."""
    found = {}
    for line in SURVIVORS.read_text().splitlines():
        cells = [cell.strip().strip("`").replace(r"\|", "|") for cell in re.split(r"(?<!\\)\|", line)]
        if len(cells) == 6 and cells[1].endswith(".py"):
            found[cells[2], cells[3]] = cells[4]
    return found


def _is_asked_for(module: str, wanted: list[str]) -> bool:
    return not wanted or any(part in module for part in wanted)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proof.mutation", description=__doc__)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="a part of a module's path; default: all subjects")
    parser.add_argument(
        "--seed", type=int, default=0, help="of the choice where there are more than --most; default: 0"
    )
    parser.add_argument("--most", type=int, default=sys.maxsize, help="mutants of each module; default: all")
    parser.add_argument("--again", action="store_true", help="try also those that are listed as survivors")
    return parser


if __name__ == "__main__":
    sys.exit(main())
