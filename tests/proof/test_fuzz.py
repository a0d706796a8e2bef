"""The short part of the fuzzing; ``python -m tests.proof fuzz`` is the long one."""

import asyncio
import importlib.util

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proof import fuzz, fuzz_parts, systematic
from tests.proof.compose import BytesChoices
from tests.proof.fuzz_parts import Part
from tests.proof.fuzz_site import FuzzSite
from tests.proof.known import SESSION
from tests.proof.wire import Wire


async def test_no_cookie_makes_a_server_error_and_nothing_forged_is_accepted() -> None:
    report = await fuzz.run(seed=1, inputs=7000, quick=True)

    assert report.failures == []
    assert report.passed >= 6


def test_the_parts_of_a_long_run_add_up_and_choose_differently() -> None:
    parts = fuzz_parts.divided(1_000_001, has_guide=True)

    assert sum(part.inputs for part in parts) == 1_000_001
    assert sum(part.inputs for part in parts if part.program == "fuzz_guided") == 333_333
    assert fuzz.generator(1, 0).random() == fuzz.generator(1, 0).random()
    assert len({fuzz.generator(seed, part).random() for seed in (1, 2) for part in (0, 1)}) == 4


def test_without_a_guide_the_seed_chooses_all() -> None:
    parts = fuzz_parts.divided(1000, has_guide=False)

    assert [(part.program, part.inputs) for part in parts] == [("fuzz", 500), ("fuzz", 500)]


async def test_a_part_runs_as_a_process_and_one_that_does_not_report_is_a_failure() -> None:
    done, missing = await fuzz_parts.run_all([Part("fuzz", 1, 200), Part("no_such_program", 0, 1)], 1, 2)

    assert done.failures == []
    assert done.passed >= 6
    assert [line.what for line in missing.failures] == ["it reports"]


@pytest.mark.skipif(importlib.util.find_spec("atheris") is None, reason="atheris is not installed")
async def test_a_part_that_coverage_guides_tries_as_many_as_asked_for() -> None:
    (report,) = await fuzz_parts.run_all([Part("fuzz_guided", 0, 1500)], 1, 1)

    assert report.failures == []
    assert "1500 of 1500" in str(report)


@given(data=st.binary(max_size=300))
@settings(max_examples=150)
def test_whatever_is_chosen_what_is_shown_is_what_the_cookie_was_given_for(data: bytes) -> None:
    async def try_it() -> FuzzSite:
        site = FuzzSite()
        await site.prepare()
        try:
            await fuzz.one_input(site, BytesChoices(data))
        finally:
            site.close()
        return site

    site = asyncio.run(try_it())

    assert site.findings.inputs == 1
    assert site.findings.broken == []
    assert site.errors.lines == []


async def test_the_check_notices_a_session_that_is_shown_to_the_wrong_visitor() -> None:
    site = FuzzSite()
    await site.prepare()
    cookie = site.known.session_cookies[0]
    site.known.tokens[cookie] = "somebody else"

    await site.check(f"{SESSION}={cookie}")
    site.close()

    assert len(site.findings.broken) == 1


async def test_every_bit_of_a_session_cookie_is_tried() -> None:
    site = FuzzSite()
    await site.prepare()
    site.close()

    headers = set(systematic.headers(site.known))

    cookie = site.known.session_cookies[0]
    for place, bit in ((0, 0), (len(cookie) // 2, 5), (len(cookie) - 1, 7)):
        flipped = cookie[:place] + chr(ord(cookie[place]) ^ (1 << bit)) + cookie[place + 1 :]
        assert f"{SESSION}={flipped}" in headers


@pytest.mark.parametrize("size", [1000, 60_000, 64_500])
async def test_cookies_as_long_as_tornado_takes_are_answered(size: int) -> None:
    site = FuzzSite()
    await site.prepare()
    async with Wire(site.app) as wire:
        status = await wire.status_of(f"{SESSION}={'x' * size}".encode())
    site.close()

    assert status == 200
