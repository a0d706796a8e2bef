"""Dues: when entries slide next, as far as this process knows, so that it asks for a slide only when one may be due."""

import time
from collections.abc import Callable
from typing import Final

from tornado_session.caching.contract import CacheEntryOptions
from tornado_session.caching.mongodb.documents import Document, due_in

_LATER: Final = float("inf")
_MAX_KEYS: Final = 10_000


class Dues:
    """Remembers when entries with a ``refresh_interval`` become due, by a clock of this process; forgets the oldest.

    A guess, by which a reading chooses its command: one that only reads, or one that slides too and costs the server a
    write. Whether a slide is due, the server's clock decides. Entries that slide with every reading take no room here.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._dues: dict[str, float] = {}

    def may_be_due(self, key: str) -> bool:
        """Whether a slide is worth asking for; what is not known may be due."""
        due = self._dues.get(key)
        return due is None or due <= self._clock()

    def note_write(self, key: str, options: CacheEntryOptions) -> None:
        """An entry was written with these options just now."""
        if options.sliding is None:
            self._remember(key, _LATER)
        elif options.refresh_interval:
            self._remember(key, self._clock() + options.refresh_interval.total_seconds())
        else:
            self._dues.pop(key, None)

    def note_read(self, key: str, document: Document) -> None:
        """A document was read, with the server's time."""
        milliseconds = due_in(document)
        if milliseconds is None:
            self._remember(key, _LATER)
        elif document["int"]:
            self._remember(key, self._clock() + milliseconds / 1000)
        else:
            self._dues.pop(key, None)

    def note_slide(self, key: str, document: Document) -> None:
        """A document was slid if that was due, and is this now."""
        interval = int(document.get("int", -1))
        if interval == 0:
            return
        is_known = interval > 0 and key in self._dues
        # Of one that was not known nobody told whether it was due: the next reading looks, and then it is known.
        self._remember(key, self._clock() + interval / 1000 if is_known else _LATER)

    def _remember(self, key: str, due: float) -> None:
        self._dues[key] = due
        if len(self._dues) > _MAX_KEYS:
            del self._dues[next(iter(self._dues))]
