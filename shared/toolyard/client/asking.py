"""What a client can do, step by step. Pure: the shells take the steps.

Each method of `Asking` is a generator. It yields a `Request`, and gets the JSON value of its answer or the error thrown
in; or it yields a `Pause`. What it returns is the result. `Client` and `AsyncClient` have these methods under the same
names, with these signatures and docstrings.
"""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, overload

from toolyard import ids
from toolyard.client import answers, requests, values
from toolyard.client.errand import Errand, Steps
from toolyard.client.errors import Unexpected, Unreachable
from toolyard.client.following import FIRST, Following, FollowingFeed
from toolyard.client.patience import Chance, Patience
from toolyard.client.requests import MAX_WAIT, CallSpec, Format
from toolyard.client.shapes import Asked, Authorization, Call, Turn, shaped
from toolyard.clock import SYSTEM, Clock, from_rfc3339
from toolyard.errors import Refused

#: Calls in one request.
BATCH: Final = 100


class Asking:
    """All that can be done through a gateway.

    Args:
        retry_for: seconds for which what failed is asked again, where that does no harm; 0 never does.
        clock: the time.
        chance: chooses the pauses.
    """

    def __init__(self, *, retry_for: float, clock: Clock = SYSTEM, chance: Chance = random.random) -> None:
        self._retry_for = retry_for
        self._clock = clock
        self._chance = chance

    # ---- calls --------------------------------------------------------------------------------
    def call(
        self,
        tool: str,
        arguments: Mapping[str, Any] | None = None,
        *,
        user: str | None = None,
        conversation: str | None = None,
        context: Mapping[str, Any] | None = None,
        timeout: float | None = None,
        queue_timeout: float | None = None,
        deadline: float | None = None,
        not_before: datetime | str | None = None,
        idempotency_key: str | None = None,
        wait: float = 30.0,
    ) -> Steps[Call]:
        """Run a tool and wait for its end. A call that failed is a call like any other: look at its ``state``.

        Args:
            tool: ``name``, or ``name@version``.
            arguments: as the tool's schema asks.
            user: on whose behalf.
            conversation: to which it belongs; all calls of one can be cancelled together.
            context: the application's own values; the model never sees them.
            timeout: seconds for one attempt.
            queue_timeout: seconds from acceptance to the start.
            deadline: seconds for everything.
            not_before: when it may start; as text, RFC 3339.
            idempotency_key: the same key and request is the same call, also of another process and a day later. Where
                none is given, one is made, and kept over all tries. `NO_KEY` sends none, so that the tool's key fields
                decide what is the same call; what may have been heard is not asked again then.
            wait: seconds to wait for the end, as many as you like; then the call is given as it stands, and goes on.
                One that starts only after this time, or waits for a person, is given at once: its ``authorization``
                says where its user has to consent. It goes on by itself then; `get` waits for that.

        Raises:
            Refused: the gateway did not accept it; ``refusal`` is the code, ``fields`` what was wrong.
            Unreachable: no gateway answered, for longer than is tried.
            Unexpected: what answered is no gateway.
        """
        request = requests.create_call(
            tool,
            arguments or {},
            user=user,
            conversation=conversation,
            context=context,
            timeout=timeout,
            queue_timeout=queue_timeout,
            deadline=deadline,
            not_before=not_before,
            idempotency_key=idempotency_key,
        )
        errand = self._errand(0.0 if self._starts_after(wait, not_before) else wait)
        with _key_told(request.headers.get("Idempotency-Key")):
            return (yield from errand.made(request))

    def call_many(
        self, calls: Sequence[CallSpec], *, idempotency_key: str | None = None, wait: float = 30.0
    ) -> Steps[list[Call | Refused]]:
        """Run many tools side by side and wait for their ends; what was refused never fails the others.

        Args:
            calls: each with the arguments of `call`, as a mapping.
            idempotency_key: each call that has none of its own gets ``<key>/<n>``, n from 0; as for `call`.
            wait: seconds to wait for all of them.

        Returns:
            For each, in order, the call, or why it was refused.

        Raises:
            Refused: the request as a whole; Unreachable, Unexpected: as for `call`.
        """
        whole = ids.new_id() if idempotency_key is None else idempotency_key
        asked = [_with_key(call, whole, number) for number, call in enumerate(values.plain(calls, "calls"))]
        pieces = [asked[start : start + BATCH] for start in range(0, len(asked), BATCH)]
        errand = self._errand(wait)
        made: list[Call | Refused] = []
        with _key_told(whole or None):
            for piece in pieces:  # all are let in before any is waited for
                made += yield from self._made_together(piece, errand, wait=len(pieces) == 1)
            for number, call in enumerate(asked):
                made[number] = yield from self._once_ended(made[number], call, errand)
        return made

    def get(self, call_id: str, *, wait: float = 0.0) -> Steps[Call]:
        """A call as it stands, or once it has ended.

        Args:
            call_id: of the call.
            wait: seconds to wait for its end, as many as you like; also while it waits for a person.

        Raises:
            Refused: ``not_found``; Unreachable, Unexpected: as for `call`.
        """
        errand = self._errand(wait)
        call = yield from errand.waited_for(requests.get_call(call_id))
        return (yield from errand.ended(call, for_person=True))

    def events(self, call_id: str, *, last_event_id: str | None = None) -> Following:
        """The events of a call."""
        return Following(call_id, last_event_id, patience=self._patience(), clock=self._clock)

    def follow(
        self,
        *,
        states: str | Collection[str],
        since: datetime | str | None,
        until: datetime | str | None = None,
        **filters: str | None,
    ) -> FollowingFeed:
        """The events of the org's calls."""
        wanted = [states] if isinstance(states, str) else [*states]
        begin, end = (one.isoformat() if isinstance(one, datetime) else one for one in (since, until))
        if begin is None and end is not None:
            begin = FIRST
        return FollowingFeed(begin, end, wanted, filters, patience=self._patience(), clock=self._clock)

    @overload
    def cancel(self, call_id: str, *, wait: float = 2.0) -> Steps[Call]: ...
    @overload
    def cancel(self, *, conversation: str) -> Steps[int]: ...
    def cancel(
        self, call_id: str | None = None, *, conversation: str | None = None, wait: float = 2.0
    ) -> Steps[Call] | Steps[int]:
        """Ask a call to stop, or all open calls of a conversation.

        Args:
            call_id: of the call; or
            conversation: all of whose calls are meant.
            wait: seconds to wait for the call's end.

        Returns:
            The call, ended however it did, or as it stands; for a conversation, how many were open.

        Raises:
            Refused: ``not_found``, say; Unreachable, Unexpected: as for `call`.
        """
        if (call_id is None) == (conversation is None):
            raise TypeError("cancel takes a call's id, or conversation=")
        return self._cancel_all(str(conversation)) if call_id is None else self._cancel(call_id, wait)

    def authorize(self, tool: str, *, user: str) -> Steps[Authorization | None]:
        """Have a user asked for what a tool needs of them, before any call waits for it.

        Args:
            tool: one that acts for a user.
            user: who is to consent.

        Returns:
            Where the user consents, and until when; None where nothing is missing.

        Raises:
            Refused: by us, or by the provider; Unreachable, Unexpected: as for `call`.
        """
        request = requests.start_authorization(tool, user)
        answer = yield from self._errand().tried(lambda: request)
        return shaped(answer, Asked).authorization

    # ---- models -------------------------------------------------------------------------------
    def tools(
        self,
        *,
        format: Format,  # noqa: A002 - the field's name
        q: str | None = None,
        toolkit: str | None = None,
        user: str | None = None,
    ) -> Steps[list[Any]]:
        """The enabled tools, as a provider takes them in its ``tools``.

        Args:
            format: ``openai`` or ``anthropic``.
            q: only those whose name or description contains this.
            toolkit: only those of this toolkit.
            user: only those that do not wait for a consent of this user at the moment.

        Raises:
            Refused: ``conflict``: two of them would have one name there; Unreachable, Unexpected: as for `call`.
        """
        request = requests.list_tools(format=format, q=q, toolkit=toolkit, user=user)
        page = yield from self._errand().tried(lambda: request)
        return _items(page)

    def turn(
        self,
        message: Any,
        *,
        format: Format,  # noqa: A002 - the field's name
        user: str | None = None,
        conversation: str | None = None,
        context: Mapping[str, Any] | None = None,
        deadline: float | None = None,
        idempotency_key: str | None = None,
    ) -> Steps[Turn]:
        """Run the tool calls of an assistant message side by side, and get the messages that answer them.

        Args:
            message: as the provider returned it: an object of its package, or the JSON value. For ``openai``
                ``choices[0].message``, for ``anthropic`` the message or its content.
            format: ``openai`` or ``anthropic``.
            user: on whose behalf.
            conversation: to which the calls belong.
            context: the application's own values; the model never sees them.
            deadline: seconds for the turn and each of its calls, at most 300, which is also where nobody says.
            idempotency_key: each call's is ``<key>/<tool_call_id>``; as for `call`.

        Raises:
            Refused: it is no such message; Unreachable, Unexpected: as for `call`. What becomes of a call is no error:
                the messages tell the model.
        """
        request = requests.take_turn(
            message,
            format=format,
            idempotency_key=idempotency_key,
            user=user,
            conversation=conversation,
            context=context,
            deadline=deadline,
        )
        with _key_told(request.headers.get("Idempotency-Key")):
            answer = yield from self._errand(request.patience).tried(lambda: request)
        return shaped(answer, Turn)

    # ---- steps of the above -------------------------------------------------------------------
    def _made_together(self, calls: list[CallSpec], errand: Errand, *, wait: bool) -> Steps[list[Call | Refused]]:
        request = requests.create_calls(calls)
        try:
            answer = yield from errand.tried(lambda: request.waiting(errand.left if wait else 0.0))
        except Refused as refused:  # nothing was made of it
            if refused.refusal != "payload_too_large":
                raise
            if len(calls) == 1:
                return [refused]
            half = len(calls) // 2
            first = yield from self._made_together(calls[:half], errand, wait=False)
            return first + (yield from self._made_together(calls[half:], errand, wait=False))
        entries = answer.get("calls") if isinstance(answer, dict) else None
        if not isinstance(entries, list) or len(entries) != len(calls):
            raise Unexpected("The answer is not that of a gateway: it has not one call for each that was asked for.")
        return [_call_or_refusal(entry) for entry in entries]

    def _once_ended(self, made: Call | Refused, call: CallSpec, errand: Errand) -> Steps[Call | Refused]:
        """One of many, waited for; where it was refused for a reason that passes, it is made once more."""
        if isinstance(made, Call) and made.ended:
            return made
        request = requests.create_call(**call)
        try:
            if isinstance(made, Call):
                return (yield from errand.ended(made, request))
            return (yield from errand.made_later(made, request))
        except Refused as refused:
            return refused

    def _cancel(self, call_id: str, wait: float) -> Steps[Call]:
        request = requests.cancel_call(call_id, wait=min(wait, MAX_WAIT))
        return shaped((yield from self._errand().tried(lambda: request)), Call)

    def _cancel_all(self, conversation: str) -> Steps[int]:
        request = requests.cancel_conversation(conversation)
        answer = yield from self._errand().tried(lambda: request)
        return shaped(shaped(answer, dict[str, Any]).get("cancelled", 0), int)

    def _patience(self) -> Patience:
        return Patience(self._retry_for, clock=self._clock, chance=self._chance)

    def _errand(self, wait: float = 0.0) -> Errand:
        return Errand(wait, retry_for=self._retry_for, clock=self._clock, chance=self._chance)

    def _starts_after(self, wait: float, not_before: datetime | str | None) -> bool:
        """Whether it starts only when nobody waits any more."""
        if isinstance(not_before, datetime):
            return not_before.timestamp() > self._clock.now() + wait
        try:
            return not_before is not None and from_rfc3339(not_before) > self._clock.now() + wait
        except ValueError:
            return False  # the gateway says what is wrong with it


@contextmanager
def _key_told(key: str | None) -> Iterator[None]:
    """Whoever reads that nobody answered learns how to ask again without doing it twice."""
    try:
        yield
    except Unreachable as error:
        if key is not None:
            error.add_note(f"It may be under way; idempotency_key={key!r} finds the same again.")
        raise


def _with_key(call: CallSpec, whole: str, number: int) -> CallSpec:
    own = call.get("idempotency_key")
    key = whole and f"{whole}/{number}" if own is None else own
    return {**call, "arguments": call.get("arguments") or {}, "idempotency_key": key}


def _call_or_refusal(entry: Any) -> Call | Refused:
    if isinstance(entry, dict) and "call_id" not in entry:
        return answers.refusal(entry.get("error"))
    return shaped(entry, Call)


def _items(page: Any) -> list[Any]:
    items = page.get("items") if isinstance(page, dict) else None
    if not isinstance(items, list):
        raise Unexpected("The answer is not that of a gateway: items missing.")
    return items
