"""Fuzzing: all that a client controls, against what it was really given.

In process, at some thousand requests a second; a share of them as raw bytes over a socket. What a seed chooses is here:
``python -m tests.proof.fuzz SEED PART INPUTS`` prints the report of one part as JSON.
"""

import asyncio
import gc
import logging
import os
import random
import sys
from pathlib import Path
from typing import Final

from tests.proof import compose, systematic
from tests.proof.fuzz_site import ANSWERS, SLOWEST_ALLOWED, FuzzSite
from tests.proof.report import Report, slope
from tests.proof.wire import Wire

_MOST_BYTES_PER_INPUT: Final = 8.0
_FEWEST: Final = 1000  # by the seed: enough to meet all that is genuine
_ENOUGH_FOR_A_SLOPE: Final = 100_000
_SAMPLES: Final = 60
_REFUSED: Final = frozenset({400, 431, None})  # by Tornado, which takes such bytes for no request at all


async def run(seed: int, inputs: int, *, part: int = 0, quick: bool = False) -> Report:
    """Try ``inputs``; all that can be enumerated is among them in the first part, and only there."""
    report = Report(f"fuzz, seed {seed}, part {part}")
    site = FuzzSite()
    await site.prepare()
    try:
        if part == 0:
            await _enumerated(site, report, every=61 if quick else 1)
        await _seeded(site, report, generator(seed, part), max(_FEWEST, inputs - site.findings.inputs))
        await _over_the_wire(site, report, generator(seed, part, "wire"), max(20, inputs // 500))
    finally:
        site.close()
    judge(site, report, inputs)
    slowest = f"{site.findings.slowest * 1000:.1f} ms of processor time ({site.findings.slowest_input})"
    quick_enough = site.findings.slowest < SLOWEST_ALLOWED
    report.promise(f"no input slower than {SLOWEST_ALLOWED * 1000:.0f} ms", quick_enough, slowest)
    return report


def generator(seed: int, part: int, use: str = "") -> random.Random:
    """The choices of one part, which are those of no other."""
    return random.Random(f"{seed} {part} {use}")


async def _enumerated(site: FuzzSite, report: Report, *, every: int) -> None:
    for number, header in enumerate(systematic.headers(site.known, every=every)):
        await site.check(header, "POST" if number % 5 == 0 else "GET")
    report.figure("inputs: every bit, length, order and mixture", site.findings.inputs)


async def _seeded(site: FuzzSite, report: Report, chosen: random.Random, inputs: int) -> None:
    choices = compose.SeededChoices(chosen)
    memory: list[tuple[float, float]] = []
    gc.collect()
    objects = len(gc.get_objects())
    for number in range(inputs):
        await one_input(site, choices)
        if number % (inputs // _SAMPLES + 1) == 0:
            site.forget()
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


async def _over_the_wire(site: FuzzSite, report: Report, chosen: random.Random, inputs: int) -> None:
    choices = compose.SeededChoices(chosen)
    statuses: dict[int | None, int] = {}
    async with Wire(site.app) as wire:
        for _ in range(inputs):
            cookie = compose.header(choices, site.known).encode("latin-1", "replace")
            status = await wire.status_of(cookie, method=b"POST" if choices.below(4) == 0 else b"GET")
            statuses[status] = statuses.get(status, 0) + 1
    report.promise(
        "over a socket: no answer of 500 or above", set(statuses) <= ANSWERS | _REFUSED, f"{inputs} inputs: {statuses}"
    )


def judge(site: FuzzSite, report: Report, inputs: int) -> None:
    """Hold what was found against what is promised of every input."""
    findings = site.findings
    report.promise("as many inputs as asked for", findings.inputs >= inputs, f"{findings.inputs} of {inputs}")
    report.promise("no answer of 500 or above", max(findings.statuses) < 500, dict(findings.statuses))
    report.promise("nothing forged accepted", not findings.broken, "\n    ".join(findings.broken) or "0 findings")
    genuine = (findings.accepted, findings.accepted_notices, findings.records_understood)
    report.promise("what is genuine is accepted (sessions, TempData, records)", all(genuine), genuine)
    report.promise("nothing logged as an error", not site.errors.lines, site.errors.lines[:3] or "")


def resident_bytes() -> int:
    """The memory of this process that is in RAM."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    print(asyncio.run(run(int(sys.argv[1]), int(sys.argv[3]), part=int(sys.argv[2]))).as_json())
