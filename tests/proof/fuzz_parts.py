"""The long fuzzing, in parts that run as processes of their own, some of them at a time.

Into how many parts it is cut does not depend on how many run at once: the same seed makes the same choices anywhere.
"""

import asyncio
import importlib.util
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tests.proof.report import Report

PARTS: Final = 2
"""Of each way to choose; every part is long enough to tell whether memory grows."""
_LONGEST: Final = 2700.0
_ROOT: Final = Path(__file__).parents[2]


class Part(NamedTuple):
    """One process: its program, its number, and how many inputs it tries."""

    program: str
    number: int
    inputs: int


def main(seed: int, inputs: int, processes: int) -> Report:
    """Try ``inputs``, a third of them guided by coverage, ``processes`` parts at a time."""
    report = Report(f"fuzz, seed {seed}")
    parts = divided(inputs, has_guide=importlib.util.find_spec("atheris") is not None)
    for found in asyncio.run(run_all(parts, seed, processes)):
        report.extend(found)
    if parts[0].program != "fuzz_guided":
        report.figure("inputs: by coverage", "none: atheris is not installed")
    report.figure("inputs", f"{sum(part.inputs for part in parts)} in {len(parts)} parts, {processes} at a time")
    return report


def divided(inputs: int, *, has_guide: bool) -> list[Part]:
    """The parts, the longest first."""
    guided = inputs // 3 if has_guide else 0
    parts = [Part("fuzz_guided", number, share) for number, share in enumerate(_shares(guided)) if share]
    return parts + [Part("fuzz", number, share) for number, share in enumerate(_shares(inputs - guided))]


def _shares(inputs: int) -> list[int]:
    return [inputs * (number + 1) // PARTS - inputs * number // PARTS for number in range(PARTS)]


async def run_all(parts: Sequence[Part], seed: int, processes: int) -> list[Report]:
    """Run each as a process, so many at a time; their reports, in the same order."""
    places = asyncio.Semaphore(processes)

    async def in_turn(part: Part) -> Report:
        async with places:
            return await _run(part, seed)

    return await asyncio.gather(*(in_turn(part) for part in parts))


async def _run(part: Part, seed: int) -> Report:
    command = [sys.executable, "-m", f"tests.proof.{part.program}", str(seed), str(part.number), str(part.inputs)]
    # Python's path is handed on, for under tox the tests are found by it.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(*command, cwd=_ROOT, env=environment, stdout=pipe, stderr=pipe)
    try:
        async with asyncio.timeout(_LONGEST):
            output, errors = await process.communicate()
    except TimeoutError:
        process.kill()
        output, errors = await process.communicate()
    finally:
        # Whoever interrupts the run leaves none of its parts behind.
        if process.returncode is None:
            process.kill()
    lines = [line for line in output.decode().splitlines() if line.startswith("{")]
    if lines:
        return Report.from_json(lines[-1])
    report = Report(f"{part.program}, seed {seed}, part {part.number}")
    report.promise("it reports", False, f"ended with {process.returncode}: {errors.decode()[-1500:]}")
    return report
