"""`toolyard topology export`: everything in topology.py, in the broker's and in the operator's form."""

import re

import pytest
from tests.unit.cli.conftest import Run

from toolyard.cli.broker_users import hashed, variable
from toolyard.contracts.tools import POOLS
from toolyard.security.signing import Keyring
from toolyard.transport import topology

BINDINGS = {(exchange, queue.name, key) for queue in topology.QUEUES for exchange, key in queue.bindings}


def test_definitions_hold_all_exchanges_queues_and_bindings(run: Run):
    found = run("topology", "export", "--vhost", "prod").json()
    assert [exchange["name"] for exchange in found["exchanges"]] == list(topology.EXCHANGES)
    assert {queue["name"]: queue["arguments"] for queue in found["queues"]} == {
        queue.name: queue.arguments for queue in topology.QUEUES
    }
    assert {(b["source"], b["destination"], b["routing_key"]) for b in found["bindings"]} == BINDINGS
    assert {part["vhost"] for kind in found.values() for part in kind} == {"prod"}
    assert all(part["durable"] for kind in ("exchanges", "queues") for part in found[kind])


def test_objects_of_the_operator_hold_the_same(run: Run):
    manifests = run("topology", "export", "--format", "kubernetes", "--cluster", "mq", "--json").json()
    by_kind = {kind: [m["spec"] for m in manifests if m["kind"] == kind] for kind in ("Exchange", "Queue", "Binding")}
    assert [spec["name"] for spec in by_kind["Exchange"]] == list(topology.EXCHANGES)
    assert {spec["name"]: {"x-queue-type": spec["type"], **spec["arguments"]} for spec in by_kind["Queue"]} == {
        queue.name: queue.arguments for queue in topology.QUEUES
    }
    assert {(s["source"], s["destination"], s["routingKey"]) for s in by_kind["Binding"]} == BINDINGS
    assert all(m["spec"]["rabbitmqClusterReference"] == {"name": "mq"} for m in manifests)


def test_objects_have_names_that_kubernetes_takes_each_its_own(run: Run):
    manifests = run("topology", "export", "--format", "kubernetes", "--json").json()
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) for _, name in names)


def test_yaml_says_what_json_says(run: Run):
    text = run("topology", "export", "--format", "kubernetes").out
    documents = [_read(document) for document in text.split("---\n") if document]
    assert documents == run("topology", "export", "--format", "kubernetes", "--json").json()


def test_streams_of_orgs_are_exported_as_the_schedulers_declare_them(run: Run):
    found = run("topology", "export", "--feed-stream", "acme", "--feed-kept", "2d").json()
    (stream,) = [queue for queue in found["queues"] if queue["name"] == "toolyard.feed.acme"]
    assert stream["arguments"] == topology.feed_stream("acme", 172_800).arguments
    (binding,) = [each for each in found["bindings"] if each["destination"] == "toolyard.feed.acme"]
    assert (binding["source"], binding["routing_key"]) == ("toolyard.feed", "acme.#")


@pytest.mark.parametrize("kept", ["0", "-1d", "366d", "1x"])
def test_a_time_that_no_stream_keeps_is_refused(run: Run, kept: str):
    found = run("topology", "export", "--feed-stream", "acme", f"--feed-kept={kept}")
    assert found.code == 2
    assert "is not a time from 1m to 365d" in found.err


def test_followers_are_exported_without_a_password_in_both_forms(run: Run):
    found = run("topology", "export", "--follower", "acme", "--follower", "other").json()
    assert [user["name"] for user in found["users"]] == ["follower-acme", "follower-other"]
    assert {user["password_hash"] for user in found["users"]} == {""}
    manifests = run("topology", "export", "--format", "kubernetes", "--follower", "acme", "--json").json()
    kinds = {each["kind"]: each["spec"] for each in manifests}
    held_to = {"exchange": "toolyard.feed", "write": "^$", "read": r"^acme\."}
    assert kinds["TopicPermission"]["permissions"] == held_to
    assert {each["read"] for each in found["topic_permissions"]} == {r"^acme\.", r"^other\."}


@pytest.mark.parametrize("option", ["--follower", "--feed-stream"])
def test_what_is_no_name_of_an_org_is_refused(run: Run, option: str):
    refused = run("topology", "export", option, "a.b")
    assert refused.code == 2
    assert "'a.b' is not the name of an org" in refused.out + refused.err


def test_another_format_is_wrong_usage(run: Run):
    assert run("topology", "export", "--format", "xml").code == 2


def _read(text: str) -> dict[str, object]:
    """As much YAML as we write: nested mappings by indentation, values as JSON."""
    import json

    root: dict[str, object] = {}
    open_mappings = [root]
    for line in text.splitlines():
        depth = (len(line) - len(line.lstrip())) // 2
        name, _, value = line.strip().partition(":")
        del open_mappings[depth + 1 :]
        if value:
            open_mappings[depth][name] = json.loads(value)
        else:
            inner: dict[str, object] = {}
            open_mappings[depth][name] = inner
            open_mappings.append(inner)
    return root


@pytest.mark.parametrize("queue", topology.QUEUES, ids=lambda queue: queue.name)
def test_every_shared_queue_says_its_type_itself(queue: topology.Queue):
    """The default type of a vhost must not decide."""
    lasting, asked = {"quorum", "stream"}, {topology.SCHEDULER, topology.SECRETS, topology.RELAY}
    assert queue.arguments["x-queue-type"] in ({"classic"} if queue.name in asked else lasting)


# ---- users and keys -----------------------------------------------------------------------------

PARTS = ["gateway", "scheduler", *(f"worker-{pool}" for pool in POOLS)]


def test_definitions_hold_a_user_for_each_part_when_asked_for(run: Run, monkeypatch: pytest.MonkeyPatch):
    made = run("topology", "passwords", "--json").json()
    for name, password in made.items():
        monkeypatch.setenv(name, password)
    printed = run("topology", "export", "--users", "--vhost", "prod", "--prefix", "ty-")
    found = printed.json()
    assert [user["name"] for user in found["users"]] == [f"ty-{part}" for part in PARTS]
    assert {user["tags"] for user in found["users"]} == {""}
    assert [each["user"] for each in found["permissions"]] == [f"ty-{part}" for part in PARTS]
    assert {(each["user"], each["exchange"]) for each in found["topic_permissions"]} == {
        (f"ty-{part}", exchange) for part in PARTS for exchange in topology.EXCHANGES
    }
    assert {each["vhost"] for kind in ("permissions", "topic_permissions") for each in found[kind]} == {"prod"}
    assert not any(password in printed.out for password in made.values())


def test_a_password_is_hashed_as_the_broker_has_it():
    """Computed once with openssl: base64 of the salt and of SHA-256 over salt and password."""
    assert hashed("test12", bytes.fromhex("908dc60a")) == "kI3GCqW5JLMJa4iX1lo7X4D6XbYqlLgxIs30+P6tENUV2POR"


def test_without_passwords_there_are_no_users_and_each_that_is_missing_is_named(run: Run):
    refused = run("topology", "export", "--users")
    assert refused.code == 2
    told = re.sub(r"[│\s]", "", refused.err)
    assert all(variable(part) in told for part in PARTS)
    assert "toolyardtopologypasswords" in told


def test_objects_of_the_operator_hold_the_users_too(run: Run):
    manifests = run("topology", "export", "--users", "--format", "kubernetes", "--json").json()
    kinds = [manifest["kind"] for manifest in manifests]
    assert (kinds.count("User"), kinds.count("Permission")) == (len(PARTS), len(PARTS))
    assert kinds.count("TopicPermission") == len(PARTS) * len(topology.EXCHANGES)
    users = [manifest["spec"] for manifest in manifests if manifest["kind"] == "User"]
    assert users[0]["importCredentialsSecret"] == {"name": "toolyard-gateway-broker"}
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in manifests]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", name) for _, name in names)


def test_signing_keys_are_what_each_part_takes(run: Run):
    made = run("topology", "signing-keys", "--name", "2026-11", "--json").json()
    assert list(made) == PARTS
    rings = {part: Keyring.parse(keys) for part, keys in made.items()}
    assert made["gateway"] == made["scheduler"]
    assert rings["gateway"].core
    assert rings["gateway"].pools == frozenset(POOLS)
    for pool in POOLS:
        ring = rings[f"worker-{pool}"]
        assert (ring.core, ring.pools) == (False, frozenset({pool}))
        rings["gateway"].verify(ring.sign("e", "k", "m", "", b"b"), "e", "k", "m", "", b"b")
    text = run("topology", "signing-keys", "--name", "2026-11").out
    assert [line for line in text.splitlines() if line.startswith("#")] == [f"# {part}" for part in PARTS]


def test_a_name_that_no_key_can_have_is_wrong_usage(run: Run):
    assert run("topology", "signing-keys", "--name", "a b").code == 2
    assert run("topology", "signing-keys").code == 2


# ---- secrets of Kubernetes ----------------------------------------------------------------------

DATABASE = "postgresql://toolyard:word@db.example.com/toolyard"


@pytest.fixture
def secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, str]]:
    monkeypatch.setenv("TOOLYARD_DATABASE_URL", DATABASE)
    made = run("topology", "kubernetes-secrets", "--name", "2026-11", "--namespace", "tools", "--json").json()
    assert {(each["kind"], each["metadata"]["namespace"]) for each in made} == {("Secret", "tools")}
    return {each["metadata"]["name"]: each["stringData"] for each in made}


def test_there_is_a_secret_for_each_part_and_for_each_user_of_the_broker(secrets: dict[str, dict[str, str]]):
    assert list(secrets) == [f"toolyard-{part}" for part in PARTS] + [
        f"toolyard-{one}-broker" for one in (*PARTS, "keda")
    ]
    for part in PARTS:
        user = secrets[f"toolyard-{part}-broker"]
        signs_in = f"amqp://{user['username']}:{user['password']}@rabbitmq.tools.svc:5672/toolyard"
        assert secrets[f"toolyard-{part}"]["TOOLYARD_TRANSPORT_URL"] == signs_in
    passwords = [each["password"] for each in secrets.values() if "password" in each]
    assert len(set(passwords)) == len(PARTS) + 1


def test_a_broker_of_ones_own_is_named_whatever_the_namespace(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_DATABASE_URL", DATABASE)
    said = ("--name", "2026-11", "--namespace", "tools", "--broker", "mq.example.com:5672/toolyard", "--json")
    made = run("topology", "kubernetes-secrets", *said).json()
    assert made[0]["stringData"]["TOOLYARD_TRANSPORT_URL"].endswith("@mq.example.com:5672/toolyard")


def test_no_worker_has_the_database_or_the_keys_of_others(secrets: dict[str, dict[str, str]]):
    for pool in POOLS:
        own = secrets[f"toolyard-worker-{pool}"]
        assert own.keys() == {"TOOLYARD_TRANSPORT_URL", "TOOLYARD_SIGNING_KEYS"}
        ring = Keyring.parse(own["TOOLYARD_SIGNING_KEYS"])
        assert (ring.core, ring.pools) == (False, frozenset({pool}))
    gateway, scheduler = secrets["toolyard-gateway"], secrets["toolyard-scheduler"]
    assert gateway["TOOLYARD_DATABASE_URL"] == DATABASE
    assert scheduler.items() - gateway.items() == {("TOOLYARD_TRANSPORT_URL", scheduler["TOOLYARD_TRANSPORT_URL"])}
    assert gateway.keys() - scheduler.keys() == {"TOOLYARD_API_KEY"}


def test_secrets_of_kubernetes_need_to_know_the_database(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("TOOLYARD_DATABASE_URL", raising=False)
    refused = run("topology", "kubernetes-secrets", "--name", "2026-11")
    assert (refused.code, "TOOLYARD_DATABASE_URL" in refused.err) == (2, True)


@pytest.mark.parametrize("broker", ["nonsense", "mq", "mq:5672", "mq:5672/", "user:word@mq:5672/v", "mq:5672/a b"])
def test_secrets_that_would_lead_to_no_broker_are_not_made(run: Run, monkeypatch: pytest.MonkeyPatch, broker: str):
    monkeypatch.setenv("TOOLYARD_DATABASE_URL", DATABASE)
    refused = run("topology", "kubernetes-secrets", "--name", "2026-11", "--broker", broker)
    assert (refused.code, refused.out, "HOST:PORT/VHOST" in refused.err) == (2, "", True)


def test_secrets_with_a_database_that_pods_do_not_share_are_not_made(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TOOLYARD_DATABASE_URL", "sqlite:///local.db")
    refused = run("topology", "kubernetes-secrets", "--name", "2026-11")
    assert (refused.code, refused.out, "SQLite is for one machine" in refused.err) == (2, "", True)
