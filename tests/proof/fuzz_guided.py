"""The share of the fuzzing that atheris guides: ``python -m tests.proof.fuzz_guided SEED INPUTS``.

Prints one line of JSON and ends the process, as libFuzzer does.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import atheris

with atheris.instrument_imports(include=["tornado_session", "tornado.httputil"]):
    from tests.proof.compose import BytesChoices
    from tests.proof.fuzz import one_input
    from tests.proof.fuzz_site import FuzzSite


def main(seed: int, inputs: int) -> None:
    """Try as many inputs, most of them made from those that reached code no other had reached."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    site = FuzzSite()
    loop.run_until_complete(site.prepare())
    corpus = TemporaryDirectory(prefix="tornado-session-corpus-")

    def try_one(data: bytes) -> None:
        loop.run_until_complete(one_input(site, BytesChoices(data)))
        if site.findings.inputs >= inputs or site.findings.broken:
            _print(site, sum(1 for _ in Path(corpus.name).iterdir()))
            corpus.cleanup()
            os._exit(0)

    limits = ["-max_len=4096", "-len_control=20", "-verbosity=0"]
    atheris.Setup([sys.argv[0], corpus.name, f"-seed={seed % 2**31 or 1}", *limits], try_one)
    atheris.Fuzz()


def _print(site: FuzzSite, paths: int) -> None:
    findings = site.findings
    found = {
        "inputs": findings.inputs,
        "paths": paths,
        "statuses": {str(status): number for status, number in findings.statuses.items()},
        "broken": findings.broken,
        "errors": site.errors.lines[:5],
    }
    print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
