"""``python -m tests.proof [fuzz|faults|soak|isolation|all] [--seed N] [--minutes M] [--inputs N]``: the long runs.

With the defaults, all of them take some 20 minutes on two cores.

Prints what was measured and what was promised; ends with status 1 when a promise was broken.
"""

import argparse
import secrets
import sys
import time
from collections.abc import Callable

from tests.proof import faults, fuzz_parts, isolation, soak
from tests.proof.report import Report

SUBJECTS = ("fuzz", "isolation", "faults", "soak")


def main() -> int:
    options = _parser().parse_args()
    subjects = SUBJECTS if options.subject == "all" else (options.subject,)
    print(
        f"{' '.join(subjects)}: seed {options.seed}, {options.inputs} inputs, {options.minutes:g} minutes", flush=True
    )
    reports: list[Report] = []
    for subject in subjects:
        begun = time.monotonic()
        report = _run(subject, options)
        report.figure("took", f"{time.monotonic() - begun:.0f} s")
        print(f"\n{report}", flush=True)
        reports.append(report)
    failed = sum(len(report.failures) for report in reports)
    print(f"\nseed {options.seed}\n{sum(report.passed for report in reports)} passed, {failed} failed")
    return 1 if failed else 0


def _run(subject: str, options: argparse.Namespace) -> Report:
    seed = options.seed
    runs: dict[str, Callable[[], Report]] = {
        "fuzz": lambda: fuzz_parts.main(seed, options.inputs, options.processes),
        "isolation": lambda: isolation.main(seed, keys=min(options.inputs, 1_000_000)),
        "faults": lambda: faults.main(seed, options.only),
        "soak": lambda: soak.main(seed, options.minutes, options.only, apart=options.apart),
    }
    return runs[subject]()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.proof", description=__doc__)
    parser.add_argument("subject", nargs="?", default="all", choices=(*SUBJECTS, "all"))
    parser.add_argument("--seed", type=int, default=secrets.randbelow(2**31), help="of all choices; default: any")
    parser.add_argument("--minutes", type=float, default=10.0, help="of load on each cache; default: 10")
    parser.add_argument("--inputs", type=int, default=1_000_000, help="for the fuzzers, and keys; default: a million")
    parser.add_argument("--processes", type=int, default=2, help="of the fuzzers at a time; default: 2")
    parser.add_argument("--apart", action="store_true", help="load one cache after the other, not all at once")
    parser.add_argument("--only", default="", help="of faults and soak, only what has this in its name")
    return parser


if __name__ == "__main__":
    sys.exit(main())
