"""One thing that a caller asked for: asked, asked again, waited for, resumed. Pure, like all steps.

Its tries share one patience, and its waits one end. `asking` says what there is to ask for.
"""

from collections.abc import Callable, Generator
from typing import Any, TypeVar

from msgspec.structs import replace

from toolyard.client import requests
from toolyard.client.patience import HELD, Backoff, Chance, Patience, Pause
from toolyard.client.requests import MAX_WAIT, Request
from toolyard.client.shapes import WITH_A_PERSON, Call, shaped
from toolyard.clock import Clock
from toolyard.errors import Refused, ToolyardError

T = TypeVar("T")
Step = Request | Pause
#: Yields what is to be done next, gets the JSON value of an answer or the error thrown in, and returns the result.
Steps = Generator[Step, Any, T]


class Errand:
    """One thing that a caller asked for.

    Args:
        wait: seconds for which its end is waited for.
        retry_for: seconds for which what failed is asked again.
        clock: the time.
        chance: chooses the pauses.
    """

    def __init__(self, wait: float, *, retry_for: float, clock: Clock, chance: Chance) -> None:
        self._clock = clock
        self._chance = chance
        self._until = clock.monotonic() + max(0.0, wait)
        self._patience = Patience(retry_for, clock=clock, chance=chance, until=self._until)

    @property
    def left(self) -> float:
        """How long the next request may wait, in seconds: to the end of the wait, but no longer than a gateway does."""
        return max(0.0, min(self._until - self._clock.monotonic(), MAX_WAIT))

    def made(self, request: Request) -> Steps[Call]:
        """Make a call, and wait for its end."""
        call = yield from self.waited_for(request)
        return (yield from self.ended(call, request))

    def made_later(self, refused: Refused, request: Request) -> Steps[Call]:
        """Make a call that was refused, if the reason passes by itself; raises the refusal otherwise."""
        yield self._patience.after(refused, repeatable=request.repeatable)
        return (yield from self.made(request))

    def ended(self, call: Call, made_by: Request | None = None, *, for_person: bool = False) -> Steps[Call]:
        """The call once it has ended, or as it stands when the time is over.

        It is asked for in pieces: a gateway waits for five minutes at most, and for no longer than it lives. While the
        call itself waits for a person it is given as it stands, unless ``for_person``.
        """
        deduplicated = call.deduplicated
        backoff = Backoff(self._chance)
        while self._goes_on(call, for_person):
            begun = self._clock.monotonic()
            call = yield from self._read(call.call_id, made_by)
            if self._clock.monotonic() - begun >= HELD:
                backoff = Backoff(self._chance)
            elif self._goes_on(call, for_person):  # we were sent away: that gateway stops
                yield Pause(min(backoff.next(), self.left))
        return replace(call, deduplicated=deduplicated)

    def _goes_on(self, call: Call, for_person: bool) -> bool:
        return not call.ended and (for_person or call.state not in WITH_A_PERSON) and self.left > 0

    def waited_for(self, request: Request) -> Steps[Call]:
        """The call that is asked for, ended or as it stands after one wait."""
        return shaped((yield from self.tried(lambda: request.waiting(self.left))), Call)

    def tried(self, ask: Callable[[], Request]) -> Steps[Any]:
        """The answer to a request, which is made anew for each try; raises what the last one ended with."""
        while True:
            request, begun = ask(), self._clock.monotonic()
            try:
                answer = yield request
            except ToolyardError as error:
                lasted = self._clock.monotonic() - begun
                pause = self._patience.after(error, repeatable=request.repeatable, lasted=lasted)
            else:
                self._patience.renew()
                return answer
            yield pause

    def _read(self, call_id: str, made_by: Request | None) -> Steps[Call]:
        """The call, after one more wait; one that the ledger does not know yet is found again by its key."""
        try:
            return (yield from self.waited_for(requests.get_call(call_id)))
        except Refused as refused:
            if refused.refusal != "not_found" or made_by is None or not made_by.repeatable:
                raise
        return (yield from self.waited_for(made_by))
