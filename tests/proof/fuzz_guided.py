"""The share of the fuzzing that atheris guides: ``python -m tests.proof.fuzz_guided SEED PART INPUTS``.

Prints its report as one line of JSON and ends the process, as libFuzzer does. Only what is looked at is instrumented:
the package, and how Tornado takes a ``Cookie`` header apart. All of Tornado would cost twice the time, and lead to
paths that no cookie has a part in.
"""

import asyncio
import os
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FunctionType
from typing import Final

import atheris  # type: ignore[import-untyped]
from tornado import httputil, testing, web  # noqa: F401 - imported here, they are not instrumented below

with atheris.instrument_imports(include=["tornado_session"]):
    from tests.proof.compose import BytesChoices
    from tests.proof.fuzz import generator, judge, one_input
    from tests.proof.fuzz_site import FuzzSite
    from tests.proof.report import Report
    from tornado_session import handler

_LONGEST: Final = 2400.0
"""Seconds, after which the part ends with what it has, and says so."""


def main(seed: int, part: int, inputs: int) -> None:
    """Try as many inputs, most of them made from those that reached code no other had reached."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    site = FuzzSite()
    loop.run_until_complete(site.prepare())
    # The trial parses each header too, to know what it should see: with the plain function.
    handler.parse_cookie = _watched_parse_cookie()  # type: ignore[attr-defined]
    corpus = TemporaryDirectory(prefix="tornado-session-corpus-")
    until = time.monotonic() + _LONGEST

    def try_one(data: bytes) -> None:
        loop.run_until_complete(one_input(site, BytesChoices(data)))
        if site.findings.inputs >= inputs or site.findings.broken or time.monotonic() > until:
            report = Report(f"guided, seed {seed}, part {part}")
            paths = sum(1 for _ in Path(corpus.name).iterdir())
            report.figure(
                "inputs: by coverage (atheris)", f"{site.findings.inputs}, new paths found by {paths} of them"
            )
            judge(site, report, inputs)
            print(report.as_json(), flush=True)
            corpus.cleanup()
            os._exit(0)

    of_fuzzer = generator(seed, part, "guided").randrange(1, 2**31)
    limits = ["-max_len=4096", "-len_control=20", "-verbosity=0"]
    atheris.Setup([sys.argv[0], corpus.name, f"-seed={of_fuzzer}", *limits], try_one)
    atheris.Fuzz()


def _watched_parse_cookie() -> FunctionType:
    """A copy of Tornado's parser that atheris watches."""
    names = dict(vars(httputil))
    for name in ("_unquote_cookie", "parse_cookie"):
        names[name] = atheris.instrument_func(FunctionType(names[name].__code__, names, name))
    parse: FunctionType = names["parse_cookie"]
    return parse


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
