"""compose.yaml: pinned, without secrets, locked down, told by its health, and with settings that exist."""

import json
import re
import stat
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from tests.support import compose, images

from toolyard import settings
from toolyard.contracts.tools import POOLS
from toolyard.transport.rights import every_part
from toolyard_executors.places import places_of

SERVICES = compose.services()
#: Those that are neither the broker nor the database.
OURS = {name: service for name, service in SERVICES.items() if compose.image(service)}
#: A service that does its work and ends.
ONCE = "migrate"
every_service = pytest.mark.parametrize("name", SERVICES)
every_part_of_ours = pytest.mark.parametrize("name", OURS)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return compose.prepared(tmp_path_factory.mktemp("prepared"))


def seconds(said: str) -> int:
    return int(re.fullmatch(r"(\d+)s", said)[1])  # type: ignore[index] # else the test fails, as it should


def test_there_are_all_parts_with_a_worker_of_each_pool():
    workers = {name: service["command"] for name, service in OURS.items() if name.startswith("worker-")}
    assert workers == {f"worker-{pool}": ["worker", pool] for pool in POOLS}
    assert OURS.keys() - workers.keys() == {"gateway", "scheduler", ONCE}


@every_service
def test_an_image_is_pinned_and_ours_are_of_this_version_and_never_of_somebody_else(name: str):
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert re.match(r"\d+\.\d+", tag), f"{image}:{tag}"
    if name in OURS:
        assert compose.image(SERVICES[name]) in images.SERVICES
        assert tag == images.project()["project"]["version"]
        assert SERVICES[name]["pull_policy"] == "never"


@every_service
def test_a_container_can_change_nothing_and_become_nobody(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "cap_add" not in service
    assert name in OURS or service["user"] not in ("root", "0")  # ours say it in their images


@every_service
def test_its_health_is_told_and_it_is_bounded(name: str):
    service = SERVICES[name]
    assert service["healthcheck"] == {"disable": True} if name == ONCE else service["healthcheck"]["test"][0] == "CMD"
    assert service["mem_limit"]
    assert service["restart"] == ("no" if name == ONCE else "unless-stopped")


@pytest.mark.parametrize("pool", POOLS)
def test_a_worker_may_have_a_thread_or_a_process_for_each_of_its_calls(pool: str):
    calls = places_of(pool)
    # A quarter beside: threads of lambda that wait for answers which nobody wants any more.
    assert OURS[f"worker-{pool}"]["pids_limit"] >= (calls + calls // 4 + 32 if pool == "lambda" else calls)


@every_part_of_ours
def test_the_settings_exist_and_the_engine_waits_as_long_as_the_part_is_told(name: str):
    said = compose.environment(OURS[name])
    assert said.keys() <= settings.KNOWN.keys()
    assert said["TOOLYARD_PROFILE"] == "production"
    assert int(said["TOOLYARD_GRACE"]) == seconds(OURS[name]["stop_grace_period"])


@every_part_of_ours
def test_it_begins_when_what_it_needs_is_there(name: str):
    waits = {other: said["condition"] for other, said in OURS[name]["depends_on"].items()}
    if name == ONCE:
        assert waits == {"postgres": "service_healthy"}
    else:
        assert waits.pop("rabbitmq") == "service_healthy"
        core = {ONCE: "service_completed_successfully"}
        assert waits == (core if name in ("gateway", "scheduler") else {})


def test_the_sandbox_reaches_the_broker_alone():
    reached = {
        other for other, service in SERVICES.items() if {*service["networks"]} & {*OURS["worker-sandbox"]["networks"]}
    }
    assert reached == {"worker-sandbox", "rabbitmq"}
    networks = compose.document()["networks"]
    assert all(networks[network].get("internal") for network in OURS["worker-sandbox"]["networks"])


def test_broker_and_database_lead_nowhere_and_only_the_gateway_is_reached_from_this_machine():
    networks = compose.document()["networks"]
    for name in ("rabbitmq", "postgres"):
        assert all(networks[network].get("internal") for network in SERVICES[name]["networks"])
    published = {name: service["ports"] for name, service in SERVICES.items() if "ports" in service}
    assert published == {"gateway": ["127.0.0.1:${TOOLYARD_PORT:-8080}:8080"]}
    assert set(chain.from_iterable(service["networks"] for service in SERVICES.values())) == set(networks)


def test_who_reaches_the_machine_knows_it_by_the_name_that_the_page_says():
    name, where = "host.docker.internal", "host-gateway"
    assert name in (images.ROOT / "docs" / "howto" / "compose.md").read_text()
    for part, service in OURS.items():
        leads_out = {"front", "outward"} & {*service["networks"]}
        # Not a list: an empty one, by which a part undoes it, is refused where a second file is laid over this one.
        assert service.get("extra_hosts", {}) == ({name: where} if leads_out else {}), part


def test_workers_do_not_reach_the_database():
    (network,) = SERVICES["postgres"]["networks"]
    inside = {name for name, service in SERVICES.items() if network in service["networks"]}
    assert inside == {"postgres", "gateway", "scheduler", ONCE}


# ---- secrets ------------------------------------------------------------------------------------


def test_no_secret_stands_in_the_file_and_git_sees_none():
    text = (images.ROOT / "compose.yaml").read_text()
    assert not re.search(r"://[^/\s]*:[^/\s]*@|(?i:password|passwd|_key)\s*[:=]", text)
    assert "secrets/" in (compose.FOLDER / ".gitignore").read_text().splitlines()


@every_service
def test_what_a_service_signs_in_with_is_made(name: str, prepared: Path):
    file = Path(SERVICES[name].get("env_file", "deploy/compose/secrets/definitions.json"))
    assert file.parent == Path("deploy/compose/secrets")
    assert (prepared / file.name).is_file()


def test_what_is_made_is_for_its_owner_but_the_definitions_in_which_passwords_are_hashed(prepared: Path):
    assert stat.S_IMODE(prepared.stat().st_mode) == 0o700
    for file in prepared.iterdir():
        assert stat.S_IMODE(file.stat().st_mode) == (0o644 if file.name == "definitions.json" else 0o600)
    definitions = (prepared / "definitions.json").read_text()
    for file in prepared.glob("*.env"):
        for value in compose.variables(file).values():
            for word in re.findall(r"[\w-]{30,}", value):
                assert word not in definitions


def test_a_part_is_given_what_it_needs_and_no_more(prepared: Path):
    broker, keys = {"TOOLYARD_TRANSPORT_URL"}, {"TOOLYARD_SIGNING_KEYS"}
    core = {"TOOLYARD_DATABASE_URL", "TOOLYARD_SECRETS_KEY"}
    given = {name: compose.secrets_of(service, prepared) for name, service in OURS.items()}
    for name, found in given.items():
        own = core if name in ("gateway", "scheduler", ONCE) else set()
        assert found.keys() == broker | keys | own | ({"TOOLYARD_API_KEY"} if name == "gateway" else set())
        user = "scheduler" if name == ONCE else name
        assert found["TOOLYARD_TRANSPORT_URL"].startswith(f"amqp://toolyard-{user}:")
    assert (prepared / "api-key").read_text().strip() == given["gateway"]["TOOLYARD_API_KEY"]


def test_the_broker_gets_a_user_of_each_part_and_its_own_vhost(prepared: Path):
    definitions: dict[str, Any] = json.loads((prepared / "definitions.json").read_text())
    assert definitions["vhosts"] == [{"name": "toolyard"}]
    assert {user["name"] for user in definitions["users"]} == {f"toolyard-{each.part}" for each in every_part()}
    assert {each["vhost"] for kind in ("queues", "exchanges", "permissions") for each in definitions[kind]} == {
        "toolyard"
    }


def test_what_was_made_is_left_as_it_is(prepared: Path):
    before = {file.name: file.read_text() for file in prepared.iterdir()}
    compose.prepared(prepared.parent)
    assert {file.name: file.read_text() for file in prepared.iterdir()} == before
    assert [file.name for file in prepared.parent.iterdir()] == [prepared.name]
