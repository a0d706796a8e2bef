"""What an earlier release has sent to a browser and stored in a cache goes on: both outlive a release."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.test_session import Place
from tests.visits import MINUTE
from tornado_session.caching.contract import CacheEntryOptions

COOKIE = ".Tornado.Session"
TAG = "bbe34c3a2257ae557d059905b6ff706e98f06a91a484b2c3493d7d3cbe35fa0d"
STORED: dict[bool, dict[str, str]] = {
    False: {
        "cookie": (
            "AQJpMP-ZZBKBG3RkV3EUj2OGB_DmsD7TJqEc0OHM3GRkE7LhdSTMXElGUBX6EleNfy6Bx_03I2LpMcWulLlp0-nKcMxaF4aprdKGmQ"
        ),
        "name": "3edf5238a16ce5e60ae3edb563f4c031b9f907a721752a8a90cd7aa4f8db6f72",
        "value": (
            "0195b670484533515138576a6b614c734e7746586a502d7451cb41dc372050000000a7757365722d3432a746697265666f78c410"
            "81a4636172749201c705029202a2c3a9"
        ),
        "id": "pHE3QQ8WjkaLsNwFXjP-tQ",
    },
    True: {
        "cookie": (
            "AQJpMIayMvfJT620o_LvoMXeROD2YgIHrCJGIjsawOoXcsk4ybIA1d6CleaaPC6mY7FE3a3COShqzNJKHVp4WSdBgEcPh7uuxnmEVg"
        ),
        "name": "799db276aed568dd13007d26042c47bbc31b72771e2d40e1f6da8e627d95b1cf",
        "value": (
            "020102693091998bdf11df696d843cdee66d57641660396f2da42a7874c463de56456aac9f79482277b11f6ca388164b248fb6ff"
            "1167b2102e96613fd1c661e5eba6f60611d5f419fe9649bf793ff14d427557cd2e4f963af08ed7007b0b037a359412599617e740"
            "fca749e9ac5852ac"
        ),
        "id": "Vr3_MHGkXPnu4iAU1JHEBw",
    },
}
"""By whether it was encrypted."""


async def earlier(encrypt: bool, **options: Any) -> Place:
    """A place in which an earlier release has stored a session and given a browser its cookie."""
    place, stored = Place(encrypt=encrypt, **options), STORED[encrypt]
    await place.memory.set(
        stored["name"], bytes.fromhex(stored["value"]), CacheEntryOptions(sliding=20 * MINUTE, tag=TAG)
    )
    place.browser.cookies[COOKIE] = stored["cookie"]
    return place


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_session_of_an_earlier_release_is_read_and_written_on(encrypt: bool) -> None:
    place = await earlier(encrypt)

    session = (await place.browser.begin()).session

    assert (dict(session), session.owner, session.label) == ({"cart": [1, (2, "é")]}, "user-42", "Firefox")
    assert (session.id, session.created) == (STORED[encrypt]["id"], datetime(2030, 1, 1, 12, tzinfo=UTC))
    await place.browser.write(more=1)
    assert await place.browser.read() == {"cart": [1, (2, "é")], "more": 1}
    assert list(await place.payloads()) == [STORED[encrypt]["name"]]


@pytest.mark.parametrize("encrypt", [False, True])
async def test_a_session_of_an_earlier_release_is_listed_and_revoked(encrypt: bool) -> None:
    place = await earlier(encrypt)

    listed = [info.id async for info in place.sessions.of("user-42")]

    assert listed == [STORED[encrypt]["id"]]
    assert await place.sessions.revoke_all("user-42") == 1
    assert (await place.browser.begin()).session.is_expired


async def test_what_is_stored_now_an_earlier_release_can_read() -> None:
    place = await earlier(False)
    visit = await place.browser.begin()
    visit.session["cart"].append(3)
    await visit.session.commit()
    visit.session["cart"].remove(3)
    await visit.finish()

    assert (await place.payloads())[STORED[False]["name"]].hex() == STORED[False]["value"]


async def test_the_mark_of_a_session_that_an_earlier_release_was_moving_is_understood() -> None:
    place = await earlier(False)
    await place.memory.set(STORED[False]["name"], b"\x00", CacheEntryOptions(relative=MINUTE, tag=TAG))

    session = (await place.browser.begin()).session

    assert (dict(session), session.is_expired, session.is_ended) == ({}, True, True)
