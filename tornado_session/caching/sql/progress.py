"""Progress: how far a call is, and therefore whether it may be cancelled."""

import asyncio
from typing import Any


class Progress:
    """What the task of a call and its caller, who may be cancelled, tell each other.

    A driver that is cancelled while it connects, or gives a connection back, loses the connection and complains about
    it. So cancelling stops only the wait for a turn and the statement; before and after that the task goes on without
    its caller until the connection is back in the pool.
    """

    def __init__(self) -> None:
        self.can_be_cancelled = True
        """Whether its turn is still to come, or a statement is running, whose connection SQLAlchemy closes then."""
        self.is_abandoned = False
        """Whether nobody waits for the result any more."""

    def abandon(self, task: asyncio.Task[Any]) -> None:
        """Stop the task as soon as that is safe; its outcome is nobody's business now."""
        self.is_abandoned = True
        task.add_done_callback(_retrieve)
        if self.can_be_cancelled:
            task.cancel()


def _retrieve(task: asyncio.Task[Any]) -> None:
    """Look at the outcome, or asyncio would complain that nobody did."""
    if not task.cancelled():
        task.exception()
