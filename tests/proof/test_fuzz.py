"""The short part of the fuzzing; ``python -m tests.proof fuzz`` is the long one."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.proof import fuzz, systematic
from tests.proof.compose import BytesChoices
from tests.proof.fuzz_site import FuzzSite
from tests.proof.known import SESSION
from tests.proof.wire import Wire


async def test_no_cookie_makes_a_server_error_and_nothing_forged_is_accepted() -> None:
    report = await fuzz.run(seed=1, inputs=7000, quick=True)

    assert report.failures == []
    assert report.passed >= 6


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
