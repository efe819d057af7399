"""Who is believed in what: the workers of a pool in what is theirs to say, of their own calls, and in nothing else."""

import msgspec
import pytest
from tests.unit.shared.contracts import samples
from tests.unit.shared.transport.test_envelope import delivered, logged

from toolyard.contracts import codec
from toolyard.contracts.control import control_name
from toolyard.contracts.events import Ended, event_name
from toolyard.contracts.tools import POOLS
from toolyard.errors import BadSignature
from toolyard.security.signing import CORE, HEADER, Keyring, new_keys
from toolyard.transport import topology, trust
from toolyard.transport.envelope import Envelope
from toolyard.transport.replays import Remembered

MADE = new_keys("2026-11")
CORE_RING = Envelope(Keyring.parse(",".join(MADE.values())))
WORKERS = {pool: Envelope(Keyring.parse(MADE[pool])) for pool in POOLS}
HTTP, LAMBDA = WORKERS["http"], WORKERS["lambda"]
OF_THE_CORE = {
    name: each for name, each in samples.EVENTS.items() if event_name(each) in ("withdrawn", "ending", "claimed")
}
OF_WORKERS = {
    name: each
    for name, each in samples.EVENTS.items()
    if name not in OF_THE_CORE and getattr(each, "by", "executor") == "executor"
}


def test_a_set_of_keys_has_one_for_the_core_and_one_for_each_pool():
    assert list(MADE) == [CORE, *POOLS]
    assert [key.partition(":")[0] for key in MADE.values()] == ["2026-11", *(f"{pool}/2026-11" for pool in POOLS)]
    assert len({key.partition(":")[2] for key in MADE.values()}) == len(MADE)


# ---- what the core says ---------------------------------------------------------------------------


@pytest.mark.parametrize("event", ["accepted", "dispatched"])
def test_a_call_is_believed_by_the_core_and_by_the_workers_of_its_pool_alone(event: str):
    sealed = CORE_RING.call(samples.MESSAGE_FULL, event=event)
    assert len(str(sealed.headers[HEADER]).split(" ")) == 2
    assert CORE_RING.open_call(logged(sealed)) == samples.MESSAGE_FULL
    assert HTTP.open_call(delivered(sealed)) == samples.MESSAGE_FULL
    with pytest.raises(BadSignature, match="unknown key"):
        LAMBDA.open_call(delivered(sealed))


def test_a_call_that_no_worker_hears_carries_one_signature():
    assert " " not in str(CORE_RING.call(samples.MESSAGE_FULL, event="scheduled").headers[HEADER])


def test_with_one_key_for_all_a_message_carries_one_signature():
    one = Envelope(Keyring({"k": bytes(32)}))
    sealed = one.call(samples.MESSAGE_FULL)
    assert " " not in str(sealed.headers[HEADER])
    assert one.open_call(delivered(sealed)) == samples.MESSAGE_FULL


@pytest.mark.parametrize("message", samples.CONTROLS.values(), ids=samples.CONTROLS)
def test_what_the_core_says_to_workers_is_believed_by_those_that_hear_it(message):
    sealed = CORE_RING.control(message, pool="lambda", org="acme")
    assert CORE_RING.open_control(logged(sealed)) == message
    kind = f"control.{control_name(message)}"
    heard = {"control.cancel", "control.log_level", "control.pause", "control.resume"}
    by = set(POOLS) if kind in heard else {"lambda"} if kind in trust.HEARD_BY_POOLS[topology.CONTROL] else set()
    for pool, worker in WORKERS.items():
        if pool in by:
            assert worker.open_control(delivered(sealed)) == message
        else:
            with pytest.raises(BadSignature, match="unknown key"):
                worker.open_control(delivered(sealed))


def test_an_answer_that_names_no_pool_is_believed_by_all():
    pauses = samples.CONTROLS["pauses"]
    sealed = CORE_RING.control(pauses, gateway="w1")
    assert all(worker.open_control(delivered(sealed)) == pauses for worker in WORKERS.values())


def test_the_workers_of_the_pool_hear_of_a_withdrawn_call():
    withdrawn = samples.EVENTS["withdrawn"]
    sealed = CORE_RING.event(withdrawn)
    assert list(HTTP.open_events(delivered(sealed))) == [withdrawn]
    with pytest.raises(BadSignature):
        LAMBDA.open_events(delivered(sealed))


def test_a_worker_believes_no_core_key_that_it_does_not_have_and_no_other_pool():
    for stranger in (Envelope(Keyring.parse(MADE[CORE])), LAMBDA):
        with pytest.raises(BadSignature, match="unknown key"):
            HTTP.open_call(delivered(stranger.call(samples.MESSAGE_FULL)))


# ---- what workers say -----------------------------------------------------------------------------


@pytest.mark.parametrize("event", OF_WORKERS.values(), ids=OF_WORKERS)
def test_a_pool_may_say_what_became_of_its_own_calls(event):
    sealed = HTTP.event(event)
    allowed = f"call.{event_name(event)}" in trust.SAID_BY_POOLS[topology.EVENTS]
    if allowed:
        assert list(CORE_RING.open_events(logged(sealed))) == [event]
    else:
        with pytest.raises(BadSignature, match="may not say"):
            list(CORE_RING.open_events(logged(sealed)))


@pytest.mark.parametrize("event", samples.EVENTS.values(), ids=samples.EVENTS)
def test_another_pool_may_not(event):
    with pytest.raises(BadSignature, match="may not"):
        list(CORE_RING.open_events(logged(LAMBDA.event(event))))
    own_key = topology.call_key(event_name(event), "lambda", event.org, event.gateway, event.tool)
    forged = LAMBDA._seal(topology.EVENTS, own_key, codec.encode(event), {})
    with pytest.raises(BadSignature, match="may not"):
        list(CORE_RING.open_events(logged(forged)))


SCHEDULERS = {
    name: msgspec.structs.replace(each, by="scheduler") for name, each in OF_WORKERS.items() if isinstance(each, Ended)
} | OF_THE_CORE


@pytest.mark.parametrize("event", SCHEDULERS.values(), ids=SCHEDULERS)
def test_a_worker_may_not_say_what_is_the_schedulers_or_a_gateways_to_say(event):
    with pytest.raises(BadSignature, match="may not say"):
        list(CORE_RING.open_events(logged(HTTP.event(event))))


def test_an_event_under_the_key_of_another_is_refused():
    event = samples.EVENTS["failed"]
    key = topology.call_key("succeeded", event.pool, event.org, event.gateway, event.tool)
    with pytest.raises(BadSignature, match="not the one of this event"):
        list(CORE_RING.open_events(logged(HTTP._seal(topology.EVENTS, key, codec.encode(event), {}))))


def test_of_outcomes_that_travel_together_only_those_of_the_own_pool_are_believed():
    own = samples.EVENTS["succeeded"]
    foreign = msgspec.structs.replace(own, pool="lambda")
    began = samples.EVENTS["started"]
    for wrong in (foreign, began, SCHEDULERS["succeeded"]):
        sealed = HTTP.outcomes("http", own.gateway, [codec.encode(wrong), codec.encode(own)])
        believed = iter(CORE_RING.open_events(logged(sealed)))
        assert next(believed) == own
        with pytest.raises(BadSignature, match="may not"):
            next(believed)
    with pytest.raises(BadSignature, match="may not speak for another pool"):
        list(CORE_RING.open_events(logged(HTTP.outcomes("lambda", own.gateway, [codec.encode(foreign)]))))


@pytest.mark.parametrize(
    "names",
    [
        {"org": "\U0001f680" * 64},
        {"tool": "\u017c" * 64},
        {"gateway": "\u017c" * 64},
        {"org": "acme.call"},
        {"gateway": "g1.x"},
    ],
    ids=["org", "tool", "gateway", "words of an org", "words of a gateway"],
)
def test_a_call_whose_names_fit_into_no_routing_key_is_nobodys(names):
    """Its verdict could not be published, or would never be read back, and others would wait behind it."""
    event = msgspec.structs.replace(samples.EVENTS["started"], pool="http", **names)
    under = topology.call_key("started", "http", "acme", "g1", "lookup")
    with pytest.raises(BadSignature, match="names are none of ours") as raised:
        list(CORE_RING.open_events(logged(HTTP._seal(topology.EVENTS, under, codec.encode(event), {}))))
    assert raised.value.reason == "not_entitled"
    claim = msgspec.structs.replace(samples.CONTROLS["claim"], pool="http", **names)
    with pytest.raises(BadSignature, match="names are none of ours"):
        CORE_RING.open_control(logged(HTTP.control(claim, pool="http")))


@pytest.mark.parametrize("message", samples.CONTROLS.values(), ids=samples.CONTROLS)
def test_of_control_messages_a_pool_may_claim_give_back_and_ask(message):
    sealed = HTTP.control(message, pool="http", org="acme")
    if control_name(message) in ("claim", "released", "pauses_asked"):
        assert CORE_RING.open_control(logged(sealed)) == message
        sealed = HTTP.control(message, pool="lambda", org="acme")
    with pytest.raises(BadSignature, match="may not"):
        CORE_RING.open_control(logged(sealed))


def test_a_claim_for_another_pools_call_is_refused():
    claim = msgspec.structs.replace(samples.CONTROLS["claim"], pool="lambda")
    with pytest.raises(BadSignature, match="claim for another pool"):
        CORE_RING.open_control(logged(HTTP.control(claim, pool="http", org="acme")))


def test_a_control_message_under_the_key_of_another_is_refused():
    body, key = codec.encode(samples.CONTROLS["cancel"]), topology.control_key("released", pool="http")
    with pytest.raises(BadSignature, match="not the one of this message"):
        CORE_RING.open_control(logged(HTTP._seal(topology.CONTROL, key, body, {})))


def test_signs_of_life_breakers_and_questions_for_secrets_are_the_pools():
    beat, told, asked = (
        samples.HEARTBEATS["heartbeat"],
        samples.BREAKERS["breaker"],
        samples.SECRETS_ASKED["secrets_asked"],
    )
    assert CORE_RING.open_heartbeat(delivered(HTTP.heartbeat(beat))) == beat
    assert CORE_RING.open_breaker(delivered(HTTP.breaker(told))) == told
    assert HTTP.open_breaker(delivered(HTTP.breaker(told))) == told
    assert CORE_RING.open_secrets_asked(delivered(HTTP.secrets_asked(asked))) == asked
    for sealed, opened in (
        (LAMBDA.heartbeat(beat), CORE_RING.open_heartbeat),
        (LAMBDA.breaker(told), CORE_RING.open_breaker),
        (LAMBDA.breaker(told), HTTP.open_breaker),
        (LAMBDA.secrets_asked(asked), CORE_RING.open_secrets_asked),
    ):
        with pytest.raises(BadSignature):
            opened(delivered(sealed))


def test_what_gateways_and_schedulers_ask_each_other_no_worker_may_say():
    feed, page = next(iter(samples.FEED_ASKED.values())), next(iter(samples.FEED_PAGES.values()))
    for sealed, opened in (
        (HTTP.feed_asked(feed), CORE_RING.open_feed_asked),
        (HTTP.feed_page(page, "gw-1"), CORE_RING.open_feed_page),
    ):
        with pytest.raises(BadSignature, match="may not say"):
            opened(delivered(sealed))


def test_a_worker_may_not_publish_a_call():
    with pytest.raises(BadSignature, match="may not say"):
        CORE_RING.open_call(logged(HTTP.call(samples.MESSAGE_FULL)))


# ---- entries --------------------------------------------------------------------------------------


def test_the_first_entry_by_a_key_that_is_there_decides():
    sealed = CORE_RING.call(samples.MESSAGE_FULL)
    core, pool = str(sealed.headers[HEADER]).split(" ")
    broken = core[:-1] + ("0" if core[-1] != "0" else "1")
    assert CORE_RING.open_call(logged(sealed)) == samples.MESSAGE_FULL
    for signature in (f"{broken} {pool}", f"{pool} {core}", pool, f"{pool} {pool}"):
        record = delivered(sealed, headers={HEADER: signature})
        with pytest.raises(BadSignature):
            CORE_RING.open_call(record)
        assert HTTP.open_call(record) == samples.MESSAGE_FULL


@pytest.mark.parametrize(
    ("key_id", "said"),
    [
        ("htpp/1", "is of no pool"),
        ("/1", "is of no pool"),
        ("http/", "not of the form <pool>/<name>"),
        ("http/a/b", "not of the form <pool>/<name>"),
        ("a b", "has a blank"),
        ("k" * 65, "longer than 64"),
    ],
)
def test_a_key_id_that_cannot_be_is_refused(key_id: str, said: str):
    with pytest.raises(ValueError, match=said):
        Keyring({key_id: bytes(32)})


# ---- moved and replayed ---------------------------------------------------------------------------


def test_a_call_in_the_queue_of_another_pool_is_refused_whatever_the_keys():
    one, seen = Envelope(Keyring({"k": bytes(32)})), Remembered()
    with pytest.raises(BadSignature, match="for the pool http") as refused:
        one.open_call_for("lambda", delivered(one.call(samples.MESSAGE_FULL)), seen)
    assert refused.value.reason == "moved"


def test_a_call_that_comes_again_is_refused_unless_the_broker_delivers_it_again():
    seen, sealed = Remembered(), CORE_RING.call(samples.MESSAGE_FULL)
    assert HTTP.open_call_for("http", delivered(sealed), seen) == samples.MESSAGE_FULL
    assert HTTP.open_call_for("http", delivered(sealed, count=1), seen) == samples.MESSAGE_FULL
    with pytest.raises(BadSignature) as refused:
        HTTP.open_call_for("http", delivered(sealed), seen)
    assert refused.value.reason == "replayed"


def test_only_the_newest_ids_are_remembered():
    seen = Remembered(most=2)
    assert [seen.first_time(each) for each in "abacab"] == [True, True, False, True, True, True]


def test_whoever_watches_is_told_of_all_that_is_not_believed():
    told: list[str] = []
    core = Envelope(Keyring.parse(",".join(MADE.values())))
    core.watch(lambda _, error: told.append(f"{error.reason} {error.key_id}".strip()))
    sealed = core.call(samples.MESSAGE_FULL)
    for record in (
        logged(HTTP.call(samples.MESSAGE_FULL)),
        delivered(sealed, headers={}),
        delivered(sealed, key=sealed.key + "x"),
        delivered(Envelope(Keyring({"x": bytes(32)})).call(samples.MESSAGE_FULL)),
    ):
        with pytest.raises(BadSignature):
            core.open_call(record)
    assert told == ["not_entitled http/2026-11", "unsigned", "forged 2026-11", "unknown_key x"]
    assert core.unwatched().verifies(logged(sealed))
