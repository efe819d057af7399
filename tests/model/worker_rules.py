"""What a worker does with a delivery. Numbers are those of the steps of the claim protocol.

Each rule takes a state and yields what may follow: pairs of a sentence and a state. Time and losses are rules of their
own (`world`), so a worker may be stopped for any while between two steps.
"""

from collections.abc import Iterator

from tests.model.state import (
    IDLE,
    Config,
    Message,
    Record,
    State,
    Worker,
    append,
    half_arrived,
    listens,
    publish,
    under_way,
    with_message,
    with_worker,
    without_message,
)

Moves = Iterator[tuple[str, State]]


def deliver(s: State, c: Config) -> Moves:
    """Steps 1 and 2: a worker takes a message; what needs a claim gets a claim id, and the claim is published."""
    index = next((index for index, _ in _in_phase(s, "idle")), None)  # idle workers are alike
    if index is None:
        return
    for message in sorted(set(s.queue)):
        taken = without_message(s, message)
        if _needs_claim(message, c):
            name = s.claims + 1
            asking = with_worker(taken, index, Worker("asking", message, alive=True, claim=name))
            record = Record("claim", name, message.attempt)
            yield f"a worker takes {_named(message)}: claim {name}", append(asking._replace(claims=name), record)
        judges = "judges_before_the_claim" in c.weakened and (s.cancelled or s.overdue)
        if judges or not _needs_claim(message, c):
            yield f"a worker takes {_named(message)}", with_worker(taken, index, Worker("held", message, alive=True))


def start_unclaimed(s: State, c: Config) -> Moves:
    """A rerunnable tool starts without a claim on first delivery (section 3), if its connection stands (step 7)."""
    for index, w in _in_phase(s, "held"):
        alive = w.alive or "starts_though_its_delivery_died" in c.weakened
        if alive and not _needs_claim(w.message, c):
            in_vain = s.ledger.end.state in ("succeeded", "failed")
            yield "a worker starts the attempt without a claim", _started(s, c, index, w, in_vain=in_vain)


def drop(s: State, c: Config) -> Moves:
    """A cancelled or overdue call is not started: an unclaimed first delivery is ended here, with effect none.

    What needs a claim asks first: its message may be a repeat of one that was started. A delivery whose connection is
    gone is forgotten: it comes again.
    """
    for index, w in _in_phase(s, "held"):
        if not w.alive:
            yield "a worker forgets a delivery whose connection is gone", with_worker(s, index, IDLE)
        if s.cancelled or s.overdue:  # its connection may go before the ack
            yield "a worker drops a cancelled or overdue call before its start", _tell(s, c, index, w, "dropped")


def repeat(s: State, c: Config) -> Moves:
    """Step 6: no answer came (it was lost): the same claim again."""
    for index, w in _in_phase(s, "asking"):
        if under_way(s, "claim", w.claim):
            continue
        if "repeats_under_a_new_claim_id" in c.weakened:
            name = s.claims + 1
            renamed = with_worker(s, index, w._replace(claim=name))._replace(claims=name)
            yield f"a worker repeats its claim as {name}", append(renamed, Record("claim", name, w.message.attempt))
        else:
            yield f"claim {w.claim} is repeated", append(s, Record("claim", w.claim, w.message.attempt))


def start_claimed(s: State, c: Config) -> Moves:
    """Step 7: once per claim id, only if the delivery's connection stands and the attempt deadline has not passed."""
    for index, w in _in_phase(s, "granted"):
        alive = w.alive or "starts_though_its_delivery_died" in c.weakened
        in_time = s.late != w.claim or "starts_past_its_deadline" in c.weakened
        if alive and in_time and not half_arrived(s):  # the answer took longer than the broker needs to route
            yield f"the worker of claim {w.claim} starts", _started(s, c, index, w, in_vain=_ended_in_time(s, c))


def give_up(s: State, c: Config) -> Moves:
    """Step 7: a cancel was seen after the grant and before the start: the call ends here."""
    for index, w in _in_phase(s, "granted"):
        if s.cancelled and not half_arrived(s):
            yield f"the worker of claim {w.claim} saw the cancel and does not start", _tell(s, c, index, w, "dropped")


def release(s: State, c: Config) -> Moves:
    """Step 8: granted but not to be started: given back, and then the delivery too, if it is still ours."""
    for index, w in _in_phase(s, "granted"):
        if not w.alive or s.late == w.claim:
            given = append(with_worker(s, index, IDLE), Record("released", w.claim, w.message.attempt))
            after = with_message(given, w.message._replace(again=True)) if w.alive else given
            yield f"the worker of claim {w.claim} gives it back", after


def finish(s: State, c: Config) -> Moves:
    """Step 10: the attempt ends somehow, and its outcome is published. The effect happened before."""
    for index, w in _in_phase(s, "running"):
        yield "the attempt succeeds", _tell(s, c, index, w, "succeeded")
        yield "the attempt fails, effect unknown", _tell(s, c, index, w, "failed")
        if c.rerunnable:
            yield "the attempt fails, effect unknown, retryable", _tell(s, c, index, w, "broke")
        else:
            after = _tell(s, c, index, w, "refused")
            yield "the attempt fails, effect none, retryable", after._replace(touched=s.touched - 1)


def tell_again(s: State, c: Config) -> Moves:
    """Step 10: an outcome that was lost on its way is published again, until it is confirmed."""
    for index, w in _in_phase(s, "untold"):
        yield "a worker publishes its outcome again", _tell(s, c, index, w, w.outcome)


def ack_early(s: State, c: Config) -> Moves:
    """Step 10, weakened: the delivery is acked before the outcome is confirmed."""
    if "acks_before_the_confirm" in c.weakened:
        for index, w in _in_phase(s, "telling"):
            if w.alive:
                acked = with_worker(s, index, w._replace(alive=False))
                yield "a worker acks its delivery before the confirm", acked


WORKER_RULES = (
    deliver,
    start_unclaimed,
    drop,
    repeat,
    start_claimed,
    give_up,
    release,
    finish,
    tell_again,
    ack_early,
)


def answered(s: State, claim: int, answer: str, c: Config) -> State:
    """Steps 5 and 9: the answer reaches the worker that waits for it. Told started or terminal, it acks and drops."""
    for index, w in enumerate(s.workers):
        if w.claim != claim or not claim:
            continue
        if w.phase == "asking":
            return with_worker(s, index, w._replace(phase="granted") if answer == "granted" else IDLE)
        if w.phase == "running" and answer == "granted" and "starts_at_each_answer" in c.weakened:
            return _started(s, c, index, w, in_vain=False)
    return s


def confirmed(s: State, outcome: Record) -> State:
    """Step 10: the outcome is confirmed, and then the delivery is acked."""
    for index, w in enumerate(s.workers):
        if w.phase == "telling" and (w.claim, w.outcome) == (outcome.claim, outcome.what):
            return with_worker(s, index, IDLE)
    return s


# ---- what they share ------------------------------------------------------------------------------
def _in_phase(s: State, phase: str) -> Iterator[tuple[int, Worker]]:
    return ((index, worker) for index, worker in enumerate(s.workers) if worker.phase == phase)


def _needs_claim(message: Message, c: Config) -> bool:
    """A tool that is not rerunnable, a redelivery, whatever the scheduler dispatched."""
    return message.claimed or (message.again and "starts_redeliveries_without_a_claim" not in c.weakened)


def _ended_in_time(s: State, c: Config) -> bool:
    """Whether the call has ended by a rule that its worker could know of (a silent worker cannot)."""
    return bool(s.ledger.end.state) and not c.rerunnable and not s.ledger.lapsed


def _started(s: State, c: Config, index: int, w: Worker, *, in_vain: bool) -> State:
    """Counts what the properties look at and no more, so that histories that do not differ meet again."""
    running = with_worker(s, index, w._replace(phase="running"))
    touched, starts = (1, s.starts + 1) if c.rerunnable else (s.touched + 1, 0)
    return running._replace(touched=touched, starts=starts, in_vain=s.in_vain or in_vain)


def _tell(s: State, c: Config, index: int, w: Worker, outcome: str) -> State:
    """Publish the outcome. Where the gateway does not listen to it, a slow way to the log is a slow worker."""
    record = Record("outcome", w.claim, w.message.attempt, outcome)
    if listens(s.gateway, outcome, c):
        return publish(with_worker(s, index, w._replace(phase="telling", outcome=outcome)), record)
    return append(with_worker(s, index, IDLE), record)


def _named(message: Message) -> str:
    return f"attempt {message.attempt}" + (", delivered again" if message.again else "")
