"""Fuzzing: all that a client controls, against what it was really given.

In process, at some thousand requests a second; a share of them as raw bytes over a socket; a share chosen by atheris,
which watches what code they reach.
"""

import asyncio
import gc
import importlib.util
import json
import logging
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.proof import compose, systematic
from tests.proof.fuzz_site import ANSWERS, SLOWEST_ALLOWED, FuzzSite
from tests.proof.report import Report, slope
from tests.proof.wire import Wire

_MOST_BYTES_PER_INPUT: Final = 8.0
_ENOUGH_FOR_A_SLOPE: Final = 100_000
_SAMPLES: Final = 60
_REFUSED: Final = frozenset({400, 431, None})  # by Tornado, which takes such bytes for no request at all


async def run(seed: int, inputs: int, *, guided: int = 0, quick: bool = False) -> Report:
    """Try ``inputs`` of all kinds, of which ``guided`` are chosen by coverage."""
    report = Report(f"fuzz, seed {seed}")
    site = FuzzSite()
    await site.prepare()
    try:
        await _enumerated(site, report, every=61 if quick else 1)
        await _seeded(site, report, seed, max(0, inputs - site.findings.inputs - guided))
        await _over_the_wire(site, report, seed, max(20, inputs // 500))
    finally:
        site.close()
    _judge(site, report)
    if guided:
        _guided(report, seed, guided)
    return report


async def _enumerated(site: FuzzSite, report: Report, *, every: int) -> None:
    for number, header in enumerate(systematic.headers(site.known, every=every)):
        await site.check(header, "POST" if number % 5 == 0 else "GET")
    report.figure("inputs: every bit, length, order and mixture", site.findings.inputs)


async def _seeded(site: FuzzSite, report: Report, seed: int, inputs: int) -> None:
    choices = compose.SeededChoices(random.Random(seed))
    memory: list[tuple[float, float]] = []
    gc.collect()
    objects = len(gc.get_objects())
    for number in range(inputs):
        await one_input(site, choices)
        if number % (inputs // _SAMPLES + 1) == 0:
            gc.collect()
            memory.append((number, resident_bytes()))
        if number == inputs // 2:
            objects = len(gc.get_objects())
    gc.collect()
    grown = len(gc.get_objects()) - objects
    report.figure("inputs: by the seed", inputs)
    report.promise("no growth: objects more after the second half", grown < 3000, grown)
    growth = slope(memory[len(memory) // 3 :])
    held = growth < _MOST_BYTES_PER_INPUT if inputs >= _ENOUGH_FOR_A_SLOPE else None
    figure = f"{growth:.2f} bytes per input, {memory[-1][1] / 2**20:.0f} MiB at the end" if memory else ""
    if held is None:
        report.figure("slope of resident memory (too short a run for a promise)", figure)
    else:
        report.promise("no growth: slope of resident memory", held, figure)


async def one_input(site: FuzzSite, choices: compose.Choices) -> None:
    """Make one request of these choices."""
    if choices.below(10) == 0:
        await site.check_stored(compose.record(choices, site.known))
        return
    method = ("GET", "GET", "GET", "HEAD", "POST")[choices.below(5)]
    path = "/regenerate" if choices.below(16) == 0 else "/"
    await site.check(compose.header(choices, site.known), method, path)


async def _over_the_wire(site: FuzzSite, report: Report, seed: int, inputs: int) -> None:
    choices = compose.SeededChoices(random.Random(~seed))
    statuses: dict[int | None, int] = {}
    async with Wire(site.app) as wire:
        for _ in range(inputs):
            cookie = compose.header(choices, site.known).encode("latin-1", "replace")
            status = await wire.status_of(cookie, method=b"POST" if choices.below(4) == 0 else b"GET")
            statuses[status] = statuses.get(status, 0) + 1
    report.promise(
        "over a socket: no answer of 500 or above", set(statuses) <= ANSWERS | _REFUSED, f"{inputs} inputs: {statuses}"
    )


def _judge(site: FuzzSite, report: Report) -> None:
    findings = site.findings
    report.promise("no answer of 500 or above", max(findings.statuses) < 500, dict(findings.statuses))
    report.promise("nothing forged accepted", not findings.broken, "\n    ".join(findings.broken) or "0 findings")
    genuine = (findings.accepted, findings.accepted_notices, findings.records_understood)
    report.promise("what is genuine is accepted (sessions, TempData, records)", all(genuine), genuine)
    slowest = f"{findings.slowest * 1000:.1f} ms of processor time ({findings.slowest_input})"
    report.promise(f"no input slower than {SLOWEST_ALLOWED * 1000:.0f} ms", findings.slowest < SLOWEST_ALLOWED, slowest)
    report.promise("nothing logged as an error", not site.errors.lines, site.errors.lines[:3] or "")


def _guided(report: Report, seed: int, inputs: int) -> None:
    """Let atheris choose, in a process of its own: it ends the process when it is done."""
    if importlib.util.find_spec("atheris") is None:
        report.figure("inputs: by coverage", "none: atheris is not installed")
        return
    command = [sys.executable, "-m", "tests.proof.fuzz_guided", str(seed), str(inputs)]
    # Python's path is handed on, for under tox the tests are found by it.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        command, cwd=Path(__file__).parents[2], env=environment, capture_output=True, text=True, check=False
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
    if not lines:
        report.promise("guided by coverage", False, f"ended with {done.returncode}: {done.stderr[-1500:]}")
        return
    found = json.loads(lines[-1])
    report.figure("inputs: by coverage (atheris)", f"{found['inputs']}, new paths found by {found['paths']} of them")
    report.promise("guided: no answer of 500 or above", max(map(int, found["statuses"])) < 500, found["statuses"])
    report.promise("guided: nothing forged accepted", not found["broken"], found["broken"] or "0 findings")
    report.promise("guided: nothing logged as an error", not found["errors"], found["errors"] or "")


def resident_bytes() -> int:
    """The memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def main(seed: int, inputs: int) -> Report:
    """Run with a third of the inputs guided by coverage."""
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    return asyncio.run(run(seed, inputs, guided=inputs // 3))


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2])))
