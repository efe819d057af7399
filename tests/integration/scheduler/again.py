"""What was said of one call, folded once more with the decisions that were told: it must come to the same row."""

from dataclasses import dataclass, field

from sqlalchemy import select
from tests.support.ledger import NOW

from toolyard.contracts.control import ClaimRefused, Granted
from toolyard.contracts.events import Ended
from toolyard.store.connect import Store
from toolyard.store.decisions import Told
from toolyard.store.tables import calls, pauses, submissions
from toolyard_scheduler.applying import apply
from toolyard_scheduler.entries import Entry, Folded
from toolyard_scheduler.rebuilding.hindsight import Hindsight


@dataclass
class Heard:
    """The records of one call, and what the ledger said of its decisions."""

    call_id: str
    entries: list[Entry] = field(default_factory=list)
    told: Told = field(default_factory=Told)

    def note(self, entry: Entry, folded: Folded) -> None:
        """A record was applied, and came to this."""
        self.entries.append(entry)
        for answer in folded.answers:
            if isinstance(answer.message, Granted | ClaimRefused):
                granted = isinstance(answer.message, Granted)
                self.told.claims[answer.message.claim_id] = answer.message.time, granted
        for parked in folded.parked:
            if parked.reason in ("retry", "authorization"):
                self.told.parked[parked.call_id, parked.attempt] = parked.time
        if isinstance(entry.content, Ended) and entry.content.by == "scheduler":
            self.told.ended[entry.call_id] = entry.content.attempt

    def comes_to_the_same(self, live: Store, again: Store) -> None:
        """In one batch, by no clock, and on tables without it."""
        with again.ledger._database.write() as connection:
            for table in (calls, submissions, pauses):
                connection.execute(table.delete())
        again.ledger.forget()
        place = again.ledger.lead(again.ledger.position(), "again")
        with again.ledger.batch(place.epoch, -1, self.entries[-1].offset, "record", NOW) as batch:
            apply(batch, self.entries, Hindsight(0.0, told=self.told))
        assert _rows(again, self.call_id) == _rows(live, self.call_id)


def _rows(store: Store, call_id: str) -> tuple[object, ...]:
    with store.ledger._database.read() as connection:
        row = connection.execute(select(calls).where(calls.c.call_id == call_id)).mappings().one()
        more = connection.execute(select(submissions).where(submissions.c.call_id == call_id)).all()
        paused = connection.execute(select(pauses)).all()
    return dict(row), sorted(map(tuple, more)), sorted(map(tuple, paused))
