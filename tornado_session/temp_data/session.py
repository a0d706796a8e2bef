"""SessionTempDataProvider: TempData as one entry of the session."""

from collections.abc import Mapping
from typing import Any, Final

from tornado_session import serializer
from tornado_session.temp_data.contract import TempDataProvider, TempDataRequest

SESSION_KEY: Final = ".TempData"
"""The session's key that holds TempData."""


class SessionTempDataProvider(TempDataProvider):
    """Keeps TempData in the session, saved by the session's own commit without a further trip.

    For applications in which every visitor has a session anyway. TempData then needs the session's cookie, ends with
    the session, and of two parallel requests that both change TempData the later one's stays.
    """

    def load(self, request: TempDataRequest) -> dict[str, Any]:
        values = request.session.get(SESSION_KEY)
        return apart(values) if type(values) is dict else {}

    def save(self, request: TempDataRequest, values: Mapping[str, Any]) -> None:
        if values:
            request.session[SESSION_KEY] = dict(values)
        else:
            request.session.pop(SESSION_KEY, None)


def apart(values: dict[str, Any]) -> dict[str, Any]:
    """Copy TempData that the session holds: what a handler changes in the one must not change the other."""
    copied: dict[str, Any] = serializer.loads(serializer.dumps(values))
    return copied
