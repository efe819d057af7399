"""Deliberate weakenings of the protocol: each drops one thing that it says, and must break the property named with it.

They prove two things: that the explorer finds such a fault, and that no line of the protocol is there for nothing.
"""

from typing import Final, NamedTuple

from tests.model.explore import Found, explore
from tests.model.state import Config

ONCE: Final = Config(cancel=False, time=False)
AGAIN: Final = Config(rerunnable=True, cancel=False, time=False)


class Weakening(NamedTuple):
    """What is dropped, the property that must not survive it, and a small run that shows it.

    ``besides``: weakenings that have to come with it, because something else would still catch the fault.
    """

    what: str
    breaks: str
    config: Config
    besides: tuple[str, ...] = ()

    def run(self, name: str) -> Found:
        """Explore the protocol without it, for the property that it should break."""
        return explore(self.config._replace(weakened=frozenset((name, *self.besides))), (self.breaks,))


WEAKENINGS: Final = {
    # -- what section 4 says
    "repeats_under_a_new_claim_id": Weakening(
        "steps 1 and 4: each repeat of a claim has an id of its own", "S5", ONCE._replace(faults=1)
    ),
    "grants_without_the_unique_constraint": Weakening(
        "step 3: a grant is not unique by call and attempt", "S2", ONCE._replace(faults=1)
    ),
    "sends_after_a_lost_compare_and_set": Weakening(
        "step 5: a scheduler that lost the compare-and-set sends its answer", "S4", ONCE._replace(faults=1, time=True)
    ),
    "answers_before_the_commit": Weakening(
        "step 5: the answer leaves before the commit", "S4", ONCE._replace(faults=0, time=True)
    ),
    "starts_though_its_delivery_died": Weakening(
        "step 7: a worker starts although its delivery's connection is gone", "S6", AGAIN._replace(faults=1)
    ),
    "starts_past_its_deadline": Weakening(
        "step 7: a worker starts although its attempt deadline has passed", "S6", ONCE._replace(faults=1)
    ),
    "starts_at_each_answer": Weakening(
        "step 7: a worker starts at each grant it reads, not once per claim id", "S1", ONCE._replace(faults=1)
    ),
    "acks_before_the_confirm": Weakening(
        "step 10: a delivery is acked before its outcome is confirmed", "L1", AGAIN._replace(faults=2, max_attempts=1)
    ),
    "gives_a_verdict_without_reading_back": Weakening(
        "step 10: the verdict is given without `ending`", "S3", ONCE._replace(faults=1)
    ),
    "grants_again_after_unknown": Weakening(
        "step 10: an attempt whose outcome is unknown is followed by another", "S1", ONCE._replace(faults=1)
    ),
    "dispatches_from_memory": Weakening(
        "step 11: a dispatch is remembered, not written into the outbox", "L1", ONCE._replace(faults=1)
    ),
    # -- what section 3 says
    "starts_redeliveries_without_a_claim": Weakening(
        "what is delivered again starts without a claim", "S7", AGAIN._replace(faults=3)
    ),
    "tells_outcomes_after_ending": Weakening(
        "a gateway that saw `ending` still takes a worker's outcome", "S3", ONCE._replace(faults=1)
    ),
    "lets_a_late_result_win": Weakening("a result that comes after the end replaces it", "S3", ONCE._replace(faults=1)),
    # -- what the words alone leave open, and the protocol as checked here settles
    "decides_at_ending": Weakening(
        "the verdict is decided at `ending`, not at a second mark after it", "S3", ONCE._replace(faults=1)
    ),
    "ends_whoever_holds": Weakening(
        "`ending` names no claim, and ends whoever holds the attempt when it is read", "S5", ONCE._replace(faults=1)
    ),
    "releases_without_a_dispatch": Weakening(
        "a released attempt waits for a message, though another worker dropped it", "L1", ONCE._replace(faults=1)
    ),
    "forgets_released_claims": Weakening(
        "a claim that was released is granted once more when a late repeat of it comes",
        "S5",
        ONCE._replace(faults=2, max_attempts=1),
    ),
    "forgets_refused_claims": Weakening(
        "a claim that was told `started` is granted when a late repeat of it comes",
        "S5",
        ONCE._replace(faults=2, max_attempts=1),
    ),
    "judges_before_the_claim": Weakening(
        "a worker ends a cancelled or overdue call before it has asked",
        "L1",
        ONCE._replace(faults=1, cancel=True, max_attempts=1),
    ),
    "judges_in_the_place_of_the_ledger": Weakening(
        "the same, and the ledger takes it for the end",
        "S4",
        ONCE._replace(faults=1, cancel=True),
        besides=("judges_before_the_claim", "lets_any_drop_end_the_call"),
    ),
    "lets_any_drop_end_the_call": Weakening(
        "`not started` of one worker ends a call that another may start", "S4", AGAIN._replace(faults=1, cancel=True)
    ),
    "tells_drops_at_once": Weakening(
        "a gateway takes a worker's `not started` for the end", "S3", AGAIN._replace(faults=1, cancel=True)
    ),
    "promises_none_for_a_parked_call": Weakening(
        "effect none for a call that is parked, whatever an earlier attempt did",
        "S4",
        AGAIN._replace(faults=0, cancel=True),
    ),
    "grants_without_telling_the_gateway": Weakening(
        "a second worker may publish an outcome, and the gateway takes the first it sees",
        "S3",
        AGAIN._replace(faults=1),
    ),
    "ends_without_ending": Weakening(
        "a refused claim of a rerunnable call ends it at once, though it may be running",
        "S3",
        AGAIN._replace(faults=1, cancel=True),
    ),
}
