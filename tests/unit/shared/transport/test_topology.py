"""The names and routes: what each queue takes, and that patterns match as a topic exchange matches them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolyard.contracts.events import ENDS
from toolyard.contracts.tools import POOLS
from toolyard.transport import topology
from toolyard.transport.topology import CALLS, CONTROL, EVENTS, destinations, matches

CALL = "call.accepted.http.default.g1.weather"


@pytest.mark.parametrize(
    ("pattern", "key", "taken"),
    [
        ("call.*.http.#", CALL, True),
        ("call.*.http.#", "call.accepted.sandbox.default.g1.run", False),
        ("call.*.*.*.g1.#", CALL, True),
        ("call.*.*.*.g1.#", "call.succeeded.http.default.g1.crm.contacts.find", True),
        ("call.*.*.*.g1.#", "call.succeeded.http.default.g11.weather", False),
        ("call.*.*.*.g1.#", "call.succeeded.http.g1.g2.g1", False),
        ("#", "", True),
        ("#", CALL, True),
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("*", "a", True),
        ("*", "a.b", False),
        ("a.#", "a", True),
        ("a.#.b", "a.b", True),
        ("a.#.b", "a.x.y.b", True),
        ("a.#.b", "a.x.y", False),
        ("#.b", "b", True),
        ("a.*", "a", False),
        ("a.b", "a.b.c", False),
        ("control.cancel.#", "control.cancelled.http", False),
    ],
)
def test_a_pattern_takes_the_keys_that_a_topic_exchange_would_give_it(pattern, key, taken):
    assert matches(pattern, key) is taken


words = st.sampled_from(["a", "b", "call", ""])


@given(
    st.lists(st.one_of(words, st.sampled_from(["*", "#"])), min_size=1, max_size=6),
    st.lists(words, min_size=1, max_size=6),
)
def test_matching_agrees_with_a_regular_expression(pattern, key):
    """Each word with a dot before it: ``*`` is one such piece, ``#`` any number of them."""
    pieces = {"*": r"\.[^.]*", "#": r"(?:\.[^.]*)*"}
    expression = "".join(pieces.get(word, re.escape(f".{word}")) for word in pattern)
    expected = re.fullmatch(expression, "".join(f".{word}" for word in key)) is not None
    assert matches(".".join(pattern), ".".join(key)) is expected


def takers(exchange: str, key: str) -> set[str]:
    return {
        queue.name
        for queue in topology.QUEUES
        if any(source == exchange and matches(pattern, key) for source, pattern in queue.bindings)
    }


@pytest.mark.parametrize("pool", POOLS)
@pytest.mark.parametrize("event", ["accepted", "dispatched"])
def test_a_call_goes_to_its_pool_and_the_log_and_nowhere_else(pool, event):
    key = topology.call_key(event, pool, "default", "g1", "a.b.c")
    assert takers(CALLS, key) == {topology.pool_queue(pool), topology.LOG}


@pytest.mark.parametrize("event", topology.LOGGED_EVENTS)
def test_lifecycle_events_are_logged(event):
    assert takers(EVENTS, topology.call_key(event, "http", "default", "g1", "t")) == {topology.LOG}


def test_every_end_of_a_call_is_logged():
    assert set(ENDS) <= set(topology.LOGGED_EVENTS)


def test_progress_and_monitor_events_stay_out_of_the_log():
    assert takers(EVENTS, topology.call_key("progress", "http", "default", "g1", "t")) == {topology.RELAY}
    assert takers(EVENTS, topology.heartbeat_key("http")) == set()
    assert takers(CONTROL, topology.heartbeat_key("http")) == {topology.SCHEDULER}
    assert takers(CONTROL, topology.feed_asked_key("default", "g1")) == {topology.SCHEDULER}
    assert takers(CONTROL, topology.feed_page_key("default", "g1")) == set()
    assert takers(CONTROL, topology.breaker_key("http", "default", "w1")) == {topology.RELAY}


def test_control_messages_are_logged_and_what_does_not_verify_is_not():
    assert takers(CONTROL, topology.control_key("claim")) == {topology.LOG}
    assert takers(CONTROL, topology.quarantine_key("http")) == {topology.QUARANTINE}


def test_a_gateway_hears_its_own_calls_and_changed_tools():
    def hears(exchange: str, key: str) -> bool:
        return any(source == exchange and matches(pattern, key) for source, pattern in topology.reply_bindings("g1"))

    assert hears(EVENTS, topology.call_key("succeeded", "http", "default", "g1", "a.b"))
    assert not hears(EVENTS, topology.call_key("succeeded", "http", "default", "g2", "g1"))
    assert hears(CONTROL, topology.control_key("tool_changed", org="default", tool="a.b"))
    assert not hears(CONTROL, topology.control_key("cancel"))
    assert hears(CONTROL, topology.breaker_key("http", "default", "w1"))
    assert hears(CONTROL, topology.heartbeat_key("sandbox"))
    assert not hears(CONTROL, topology.heartbeat_key("http"))


def test_a_gateways_live_queue_takes_its_own_pages_and_nothing_else():
    def hears(key: str) -> bool:
        return any(exchange == CONTROL and matches(pattern, key) for exchange, pattern in topology.live_bindings("g1"))

    assert hears(topology.feed_page_key("default", "g1"))
    assert not hears(topology.feed_page_key("g1", "g2"))
    assert not hears(topology.feed_asked_key("default", "g1"))
    assert not hears(topology.control_key("granted", gateway="g1"))
    assert topology.live_queue("g1") != topology.reply_queue("g1")


def test_a_worker_hears_withdrawn_calls_and_breakers_of_its_pool_only():
    def hears(exchange: str, key: str) -> bool:
        return any(
            source == exchange and matches(pattern, key) for source, pattern in topology.worker_bindings("http", "w1")
        )

    assert hears(EVENTS, topology.call_key("withdrawn", "http", "default", "g1", "t"))
    assert not hears(EVENTS, topology.call_key("withdrawn", "sandbox", "default", "g1", "t"))
    assert hears(CONTROL, topology.breaker_key("http", "default", "w2"))
    assert not hears(CONTROL, topology.breaker_key("sandbox", "default", "http"))
    assert all(hears(CONTROL, topology.control_key(event)) for event in ("cancel", "pause", "resume"))


def test_secrets_come_to_the_worker_that_asked_and_neither_they_nor_the_question_are_in_the_log():
    def hears(pool: str, worker: str) -> bool:
        told = topology.secrets_told_key("http", "default", "w1")
        return any(
            source == CONTROL and matches(pattern, told) for source, pattern in topology.worker_bindings(pool, worker)
        )

    assert hears("http", "w1")
    assert not hears("http", "w2")
    assert not hears("sandbox", "w1")
    assert takers(CONTROL, topology.secrets_asked_key("http", "default", "w1", "a.b")) == {topology.SECRETS}
    assert takers(CONTROL, topology.secrets_told_key("http", "default", "w1")) == set()


def test_dead_letters_have_a_place_that_is_declared_before_what_sends_them_there():
    names = [queue.name for queue in topology.QUEUES]
    for queue in topology.QUEUES:
        target = queue.arguments.get("x-dead-letter-routing-key")
        assert target is None or names.index(str(target)) < names.index(queue.name)


def test_every_queue_has_a_name_of_its_own_and_binds_to_known_exchanges():
    names = [queue.name for queue in topology.QUEUES]
    assert len(names) == len(set(names))
    assert {exchange for queue in topology.QUEUES for exchange, _ in queue.bindings} <= set(topology.EXCHANGES)


@pytest.mark.parametrize(
    ("exchange", "key", "queues"),
    [
        (CALLS, "call.accepted.http.org.g1.weather", ["toolyard.call.http", "toolyard.log"]),
        (CALLS, "call.scheduled.http.org.g1.weather", ["toolyard.log"]),
        (EVENTS, "call.succeeded.http.org.g1.weather", ["toolyard.log"]),
        (EVENTS, "call.progress.http.org.g1.weather", ["toolyard.relay"]),
        (CONTROL, "control.claim.http.org.-.weather", ["toolyard.log"]),
        (CONTROL, "quarantine.message.http.-.-.-", ["toolyard.quarantine"]),
        (CONTROL, "monitor.heartbeat.http.-.-.-", ["toolyard.scheduler"]),
        (CONTROL, "monitor.feed_asked.-.org.g1.-", ["toolyard.scheduler"]),
        (CONTROL, "monitor.feed_page.-.org.g1.-", []),
        (CONTROL, "secrets.asked.http.org.w1.weather", ["toolyard.secrets"]),
        (CONTROL, "secrets.told.http.org.w1.-", []),
    ],
)
def test_where_a_message_must_arrive(exchange, key, queues):
    assert destinations(exchange, key) == queues
