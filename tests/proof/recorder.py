"""Recorder: what was acknowledged to whom, and what that promises about what is found later."""

import time
from collections import Counter
from dataclasses import dataclass, field

from tests.proof.report import Report
from tests.proof.visitor import Answer, NoAnswer, Visitor

ALLOWED = frozenset({200, 303, 409, 503})


@dataclass
class Recorder:
    """What all clients of one run have seen."""

    statuses: Counter[int | str] = field(default_factory=Counter)
    acknowledged: int = 0
    ended: list[tuple[dict[str, str], float]] = field(default_factory=list)
    """The cookies of sessions whose end was acknowledged, and when."""
    lost: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)
    revived: list[str] = field(default_factory=list)
    owners: dict[str, str] = field(default_factory=dict)
    """To which client each session id was shown first."""
    doubled: int = 0
    slowest: float = 0.0
    """Seconds that a client waited for an answer at the most."""
    excusable: list[tuple[float, float]] = field(default_factory=list)
    """From when to when what was acknowledged may be lost: never, but for a store that promises no more."""
    excused: int = 0

    def saw(self, client: str, answer: Answer) -> None:
        """Note an answer; what it shows has to be the client's own."""
        self.statuses[answer.status] += 1
        shown = answer.json
        for name in ("client", "notice"):
            if shown.get(name) not in (None, client):
                self.foreign.append(f"{client} was shown the {name} {shown[name]}")
        if any(not token.startswith(f"{client}.") for token in shown.get("tokens", [])):
            self.foreign.append(f"{client} was shown a token of another")
        # A session without a client was never kept: its id goes with the answer.
        if shown.get("id") and shown.get("client") and self.owners.setdefault(shown["id"], client) != client:
            self.foreign.append(f"{client} was given the id of {self.owners[shown['id']]}")

    def end(self, cookies: dict[str, str]) -> None:
        """Note that the end of a session was acknowledged, a moment ago."""
        self.ended.append((cookies, time.monotonic()))

    def lose(self, what: str, acknowledged: float) -> None:
        """Note that something acknowledged at that time is not there."""
        if self._is_excused(acknowledged):
            self.excused += 1
        else:
            self.lost.append(what)

    async def check_ended(self, port: int) -> None:
        """Come back with the cookies of all sessions that were ended."""
        for cookies, acknowledged in self.ended:
            thief = Visitor("thief")
            try:
                answer = await thief.request(port, "GET", "/", cookies)
            except NoAnswer:
                self.statuses["none"] += 1
                continue
            finally:
                thief.close()
            if answer.status == 200 and answer.json.get("client") is None:
                continue
            if answer.status == 200 and self._is_excused(acknowledged):
                self.excused += 1
            else:
                self.revived.append(f"answered {answer.status}, {answer.json.get('client')!r}")

    def judge(self, report: Report, *, may_leave_unanswered: bool = False) -> None:
        """Hold the run against what is promised."""
        answers = {status for status in self.statuses if status != "none"}
        unanswered = self.statuses["none"] and not may_leave_unanswered
        report.promise("answers only 200, 303, 409, 503", answers <= ALLOWED and not unanswered, dict(self.statuses))
        report.promise("nothing acknowledged lost", not self.lost, f"{self.acknowledged} writes {self.lost[:3] or ''}")
        ended = f"{len(self.ended)} sessions {self.revived[:3] or ''}"
        report.promise("nothing ended revived", not self.revived, ended)
        report.promise("no session seen by another client", not self.foreign, str(self.foreign[:3] or ""))
        report.promise("something was tried", self.acknowledged > 0 and len(self.ended) > 0)
        if self.excusable:
            report.figure("lost or revived of what was acknowledged just before a kill", self.excused)
        if self.doubled:
            report.figure("tokens applied twice (acknowledgement lost, then repeated)", self.doubled)

    def _is_excused(self, acknowledged: float) -> bool:
        return any(since <= acknowledged <= until for since, until in self.excusable)
