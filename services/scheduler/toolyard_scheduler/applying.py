"""A batch of records inside its transaction: those about one call are folded into its row, those about many act on all.

The order of the log is kept: what parks a call before a pause ends is resumed by that end, and what is parked after it
is not.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Final

from msgspec import structs

from toolyard.contracts.calls import VERSION, Authorization
from toolyard.contracts.control import (
    AuthorizationAsked,
    Authorized,
    Cancel,
    Pause,
    Paused,
    Pauses,
    PausesAsked,
    Resume,
)
from toolyard.store.ledger import Batch
from toolyard.store.ledger_consents import Asked
from toolyard_scheduler import consent_counts
from toolyard_scheduler.entries import Answer, Entry, Folded
from toolyard_scheduler.folding import calls_to_know, fold
from toolyard_scheduler.rows import Around

_MAY_BE_ABOUT_MANY: Final = frozenset({AuthorizationAsked, Authorized, Cancel, Pause, Resume, PausesAsked})


def apply(batch: Batch, entries: Sequence[Entry], around: Around) -> tuple[Folded, frozenset[Paused]]:
    """Apply these records, in order; what they came to, and what is paused after them."""
    folded = Folded()
    for about_many, piece in _pieces(entries):
        if not about_many:
            _apply_to_calls(batch, piece, folded, around)
            continue
        for entry in piece:
            around = _apply_to_many(batch, entry, folded, around)
    batch.submitted(folded.submissions)
    return folded, around.pauses


def _pieces(entries: Sequence[Entry]) -> Iterator[tuple[bool, Sequence[Entry]]]:
    """Runs of records about one call each, and of others; mostly there are none of these."""
    if not any(type(entry.content) in _MAY_BE_ABOUT_MANY for entry in entries):
        if entries:
            yield False, entries
        return
    for about_one, piece in groupby(entries, lambda entry: entry.call_id != ""):
        yield not about_one, list(piece)


def _apply_to_calls(batch: Batch, entries: Sequence[Entry], folded: Folded, around: Around) -> None:
    folded.rows = batch.load(list({entry.call_id for entry in entries}))
    batch.know(folded.rows, calls_to_know(entries, folded.rows))
    fold(entries, folded, around)
    batch.drop(folded.untrue)
    folded.untrue.clear()
    folded.note_times(batch.save(folded.rows.values()))
    for consent in folded.consents:
        _note_consent(batch, consent.authorization, consent.asked, consent.at, folded)
    folded.consents.clear()


def _apply_to_many(batch: Batch, entry: Entry, folded: Folded, around: Around) -> Around:
    content, here = entry.content, around.at(entry.content)
    if isinstance(content, Cancel):
        one = structs.replace(content, conversation="")
        _apply_to_each(batch, entry, one, batch.of_conversation(content.org, content.conversation), folded, around)
    elif isinstance(content, Authorized):
        at = here.moment(content.time)
        seconds = batch.authorized(content.org, content.provider, content.authorization_id, content.status, at)
        if seconds is None:  # nobody is asked for it, or not any more by what this speaks of
            return around
        consent_counts.over(folded.counts, content.provider, content.status, seconds)
        waiting = batch.waiting_for(content.org, content.provider, content.authorization_id)
        _apply_to_each(batch, entry, content, waiting, folded, around)
    elif isinstance(content, AuthorizationAsked):
        asked_for = Asked(content.org, content.user, content.tool)
        _note_consent(batch, content.authorization, asked_for, here.moment(content.time), folded)
    elif isinstance(content, Pause):
        paused = _paused(content)
        batch.pause(paused, here.moment(content.time))
        return around.with_pauses(around.pauses | {paused})
    elif isinstance(content, Resume):
        over = _paused(content)
        folded.soonest = min(folded.soonest, around.now)
        folded.counts["resumed"] += batch.resume(over, here.moment(content.time))
        return around.with_pauses(around.pauses - {over})
    elif isinstance(content, PausesAsked):
        asked = content.time if around.undisputed else None
        pauses = Pauses(v=VERSION, sender=around.sender, time=here.now, paused=tuple(around.pauses), asked=asked)
        folded.answers.append(Answer(content.reply, "-", "-", pauses))
    return around


def _note_consent(batch: Batch, authorization: Authorization, asked: Asked, at: float, folded: Folded) -> None:
    if batch.asked_for(authorization, asked, at):
        consent_counts.opened(folded.counts, authorization.provider)


def _apply_to_each(
    batch: Batch,
    entry: Entry,
    content: Cancel | Authorized,
    call_ids: Sequence[str],
    folded: Folded,
    around: Around,
) -> None:
    """One record about many calls, as one about each of them."""
    each = [structs.replace(content, call_id=call_id) for call_id in call_ids]
    _apply_to_calls(batch, [Entry(entry.offset, entry.message_id, one) for one in each], folded, around)


def _paused(content: Pause | Resume) -> Paused:
    return Paused(kind=content.kind, org=content.org, name=content.name)
