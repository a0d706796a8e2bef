"""SessionTempDataProvider keeps TempData as one entry of the session."""

from typing import Any

import pytest

from tests.temp_data.requests import Visit
from tornado_session import SessionTempDataProvider

PROVIDER = SessionTempDataProvider()


def test_values_are_one_entry_of_the_session_and_no_cookie() -> None:
    visit = Visit(session={"cart": 1})

    PROVIDER.save(visit, {"a": 1, "b": [2]})

    assert visit.session == {"cart": 1, ".TempData": {"a": 1, "b": [2]}}
    assert visit.lines == {}
    assert PROVIDER.load(visit.next()) == {"a": 1, "b": [2]}


def test_an_empty_mapping_leaves_no_entry() -> None:
    visit = Visit(session={".TempData": {"a": 1}})

    PROVIDER.save(visit, {})
    PROVIDER.save(visit, {})

    assert visit.session == {}
    assert PROVIDER.load(visit) == {}


def test_changing_what_was_loaded_does_not_change_the_session() -> None:
    visit = Visit(session={".TempData": {"list": [1]}})

    PROVIDER.load(visit)["list"].append(2)

    assert visit.session == {".TempData": {"list": [1]}}


@pytest.mark.parametrize("other", [None, "text", 1, [1, 2], (), [0.0, {"a": 1}]])
def test_another_kind_of_value_under_the_key_reads_as_empty(other: Any) -> None:
    assert PROVIDER.load(Visit(session={".TempData": other})) == {}
