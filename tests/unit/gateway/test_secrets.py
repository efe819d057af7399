"""Secrets over HTTP: set, listed, changed, deleted; and values that go in and never come out."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.logged import logged as logged_by_a_service
from tests.unit.gateway.rig import Rig, running

from toolyard.security.keys import SecretKeys

VALUE = "hunter2-is-the-value \u00fc\n"
BODY = {"name": "TOKEN", "value": VALUE}


@pytest.fixture
def logged() -> Iterator[io.StringIO]:
    """All that is logged."""
    with logged_by_a_service(service="gateway", level="debug") as written:
        yield written


def refusal_of(answer: httpx.Response) -> str:
    code: str = answer.json()["code"]
    return code


async def value_of(rig: Rig, name: str = "TOKEN", org: str = "default") -> str | None:
    found: str | None = await rig.parts.store.ask(rig.parts.vault.get, org, name)
    return found


async def test_a_secret_is_kept_listed_changed_and_deleted_and_its_value_is_never_shown(rig: Rig, logged: io.StringIO):
    made = await rig.client.post("/v1/secrets", json=BODY)
    assert made.status_code == 201
    assert made.json().keys() == {"name", "version", "created_at", "created_by"}
    assert (made.json()["name"], made.json()["version"]) == ("TOKEN", 1)
    assert (made.headers["ETag"], made.headers["Location"]) == ('"1"', "/v1/secrets/TOKEN")
    assert await value_of(rig) == VALUE

    changed = await rig.client.put("/v1/secrets/TOKEN", json={"value": "another-value"})
    assert (changed.status_code, changed.json()["version"], changed.headers["ETag"]) == (200, 2, '"2"')
    assert await value_of(rig) == "another-value"

    listed = await rig.client.get("/v1/secrets")
    assert listed.json() == {"items": [changed.json()], "next_cursor": None}
    shown = await rig.client.get("/v1/secrets/TOKEN")
    assert [each["version"] for each in shown.json()["versions"]] == [2, 1]
    assert shown.headers["ETag"] == '"2"'

    gone = await rig.client.delete("/v1/secrets/TOKEN")
    assert gone.status_code == 204
    assert (await rig.client.get("/v1/secrets")).json()["items"] == []
    assert (await rig.client.get("/v1/secrets/TOKEN")).status_code == 404

    for answer in (made, changed, listed, shown, gone):
        assert "hunter2" not in answer.text
        assert "another-value" not in answer.text
    assert "hunter2" not in logged.getvalue()
    assert "another-value" not in logged.getvalue()


async def test_each_change_is_noted_in_the_log_with_who_did_it_and_without_the_value(rig: Rig, logged: io.StringIO):
    await rig.client.post("/v1/secrets", json=BODY)
    await rig.client.put("/v1/secrets/TOKEN", json={"value": VALUE + "2"})
    await rig.client.delete("/v1/secrets/TOKEN")
    lines = [json.loads(line) for line in logged.getvalue().splitlines()]
    told = [(line["event"], line["org"], line["name"], line["by"]) for line in lines if line.get("part") == "secrets"]
    assert told == [
        (what, "default", "TOKEN", "admin")
        for what in ("a secret was created", "a secret was given another value", "a secret was deleted")
    ]


@pytest.mark.parametrize(
    ("body", "path", "words"),
    [
        ({"name": "TOKEN"}, "value", "is missing"),
        ({"value": VALUE}, "name", "is missing"),
        ({"name": "TOKEN", "value": ""}, "value", "at least 1 character"),
        ({"name": "TOKEN", "value": "hunter2" * 9_363}, "value", "at most 65536 characters"),
        ({"name": "TOKEN", "value": "\u00fc" * 32_769}, "value", "at most 65,536 bytes"),
        ({"name": "TOKEN", "value": ["hunter2"]}, "value", "must be a text, not a list"),
        ({"name": "TOKEN", "value": "hunter2\0"}, "value", "NUL"),
        ({"name": "hunter2 is here", "value": "TOKEN"}, "name", "letters, digits and '_'"),
        ({"name": "TOKEN", "value": VALUE, "org": "other"}, "org", "is not a field here"),
        ("hunter2", "", "must be a JSON object"),
    ],
)
async def test_a_wrong_body_is_refused_by_field_and_without_what_it_held(
    rig: Rig, logged: io.StringIO, body: Any, path: str, words: str
):
    answer = await rig.client.post("/v1/secrets", json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["path"] == path
    assert words in error["message"]
    assert "hunter2" not in answer.text + logged.getvalue()


@pytest.mark.parametrize(
    "raw", ['{"name": "TOKEN", "value": "hunter2"', '{"value": hunter2}', '{"value":"hunter2\\ud800"}']
)
async def test_what_is_no_json_is_not_repeated(rig: Rig, logged: io.StringIO, raw: str):
    answer = await rig.client.post("/v1/secrets", content=raw)
    assert answer.status_code in (400, 422)
    assert "hunter2" not in answer.text + logged.getvalue()


async def test_the_longest_value_is_taken_however_it_is_written(rig: Rig):
    value = "\x01" * 65_536
    answer = await rig.client.post("/v1/secrets", content=json.dumps({"name": "TOKEN", "value": value}))
    assert answer.status_code == 201
    assert await value_of(rig) == value


async def test_a_taken_name_is_a_conflict(rig: Rig):
    await rig.client.post("/v1/secrets", json=BODY)
    answer = await rig.client.post("/v1/secrets", json=BODY)
    assert (answer.status_code, refusal_of(answer)) == (409, "conflict")
    assert "change it with PUT" in answer.json()["detail"]


async def test_a_secret_that_is_not_there_cannot_be_changed_or_deleted(rig: Rig):
    for answer in (
        await rig.client.put("/v1/secrets/TOKEN", json={"value": "v"}),
        await rig.client.delete("/v1/secrets/TOKEN"),
        await rig.client.get("/v1/secrets/TOKEN"),
    ):
        assert (answer.status_code, refusal_of(answer)) == (404, "not_found")


async def test_if_match_is_heeded_where_it_is_sent(rig: Rig):
    await rig.client.post("/v1/secrets", json=BODY)
    other = {"If-Match": '"7"'}
    for answer in (
        await rig.client.put("/v1/secrets/TOKEN", json={"value": "v"}, headers=other),
        await rig.client.delete("/v1/secrets/TOKEN", headers=other),
    ):
        assert (answer.status_code, refusal_of(answer), answer.json()["version"]) == (412, "precondition_failed", 1)
    assert (await rig.client.put("/v1/secrets/TOKEN", json={"value": "v"}, headers={"If-Match": '"1"'})).is_success
    wrong = await rig.client.put("/v1/secrets/TOKEN", json={"value": "v"}, headers={"If-Match": "1"})
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "If-Match")


# ---- who may ------------------------------------------------------------------------------------
REQUESTS = (
    ("POST", "/v1/secrets", BODY),
    ("PUT", "/v1/secrets/TOKEN", {"value": "v"}),
    ("GET", "/v1/secrets", None),
    ("GET", "/v1/secrets/TOKEN", None),
    ("DELETE", "/v1/secrets/TOKEN", None),
)


@pytest.mark.parametrize("role", ["caller", "approver", "operator"])
async def test_other_roles_than_author_and_admin_may_do_nothing_here(rig: Rig, role: str):
    await rig.client.post("/v1/secrets", json=BODY)
    key = await rig.key(role)
    for method, path, body in (*REQUESTS, ("POST", "/v1/secrets/reseal", None)):
        answer = await rig.client.request(method, path, json=body, headers=key)
        assert (answer.status_code, refusal_of(answer)) == (403, "permission_denied"), (method, path)


async def test_an_author_may_do_all_but_seal_anew(rig: Rig):
    key = await rig.key("author")
    assert [
        (await rig.client.request(method, path, json=body, headers=key)).status_code for method, path, body in REQUESTS
    ] == [*(201, 200, 200, 200, 204)]
    assert (await rig.client.post("/v1/secrets/reseal", headers=key)).status_code == 403


async def test_another_orgs_secrets_are_not_there(rig: Rig):
    await rig.client.post("/v1/secrets", json=BODY)
    other = await rig.key("admin", org="other")
    assert (await rig.client.get("/v1/secrets", headers=other)).json()["items"] == []
    assert (await rig.client.get("/v1/secrets/TOKEN", headers=other)).status_code == 404
    assert (await rig.client.put("/v1/secrets/TOKEN", json={"value": "v"}, headers=other)).status_code == 404
    assert (await rig.client.delete("/v1/secrets/TOKEN", headers=other)).status_code == 404
    assert (await rig.client.post("/v1/secrets", json=BODY | {"value": "theirs"}, headers=other)).status_code == 201
    assert (await value_of(rig), await value_of(rig, org="other")) == (VALUE, "theirs")


# ---- once ---------------------------------------------------------------------------------------
KEY = {"Idempotency-Key": "k-1"}


async def test_a_repeat_gets_the_same_answer_and_another_body_does_not(rig: Rig):
    first = await rig.client.post("/v1/secrets", json=BODY, headers=KEY)
    again = await rig.client.post("/v1/secrets", json=BODY, headers=KEY)
    assert (again.status_code, again.json()) == (201, first.json())
    other = await rig.client.post("/v1/secrets", json=BODY | {"value": "other"}, headers=KEY)
    assert refusal_of(other) == "idempotency_mismatch"


async def test_what_is_remembered_of_a_request_neither_is_nor_tells_its_value(rig: Rig):
    await rig.client.post("/v1/secrets", json=BODY, headers=KEY)
    (kept,) = rig.parts.replays._answers.values()
    assert VALUE.encode() not in bytes(kept.answer.body)
    assert kept.body_hash not in _plain_hashes(json.dumps(BODY, separators=(",", ":"), ensure_ascii=False).encode())


def _plain_hashes(body: bytes) -> set[bytes]:
    from hashlib import algorithms_guaranteed, new

    return {new(name, body).digest() for name in algorithms_guaranteed if not name.startswith("shake")}


async def test_a_repeat_that_finds_its_own_secret_at_another_gateway_gets_it(rig: Rig):
    first = await rig.client.post("/v1/secrets", json=BODY, headers=KEY)
    rig.parts.replays._answers.clear()  # as at a gateway that has not seen the first one
    again = await rig.client.post("/v1/secrets", json=BODY, headers=KEY)
    assert (again.status_code, again.json()) == (201, first.json())
    rig.parts.replays._answers.clear()
    other = await rig.client.post("/v1/secrets", json=BODY | {"value": "other"}, headers=KEY)
    assert refusal_of(other) == "conflict"


async def test_nobody_else_learns_by_repeating_whether_a_value_is_right(rig: Rig):
    await rig.client.post("/v1/secrets", json=BODY, headers=KEY)
    author = await rig.key("author")
    right = await rig.client.post("/v1/secrets", json=BODY, headers=KEY | author)
    wrong = await rig.client.post("/v1/secrets", json=BODY | {"value": "guess"}, headers=KEY | author)
    assert right.json() == wrong.json()
    assert refusal_of(right) == "conflict"


# ---- keys ---------------------------------------------------------------------------------------
async def test_an_admin_seals_all_secrets_anew_page_by_page(rig: Rig):
    for number in range(60):
        await rig.client.post("/v1/secrets", json={"name": f"S{number}", "value": f"value {number}"})
    rig.parts.vault._keys = SecretKeys({"new": b"n" * 32, "test": b"s" * 32})
    first = (await rig.client.post("/v1/secrets/reseal")).json()
    assert (first["resealed"], first["unreadable"], first["damaged"]) == (50, {}, [])
    second = (await rig.client.post("/v1/secrets/reseal", params={"cursor": first["next_cursor"]})).json()
    assert (second["resealed"], second["next_cursor"]) == (10, None)
    assert set(rig.parts.store.secrets.key_ids()) == {"new"}
    assert await value_of(rig, "S59") == "value 59"


async def test_keys_that_are_missing_are_told(rig: Rig):
    await rig.client.post("/v1/secrets", json=BODY)
    rig.parts.vault._keys = SecretKeys({"new": b"n" * 32})
    answer = await rig.client.post("/v1/secrets/reseal")
    assert answer.json() == {"resealed": 0, "unreadable": {"test": 1}, "damaged": [], "next_cursor": None}


async def test_an_admin_of_another_org_seals_the_secrets_of_that_org_anew(rig: Rig):
    other = await rig.key("admin", org="other")
    await rig.client.post("/v1/secrets", json=BODY)
    await rig.client.post("/v1/secrets", json=BODY, headers=other)
    rig.parts.vault._keys = SecretKeys({"new": b"n" * 32, "test": b"s" * 32})
    assert (await rig.client.post("/v1/secrets/reseal", headers=other)).json()["resealed"] == 1
    assert (await rig.client.post("/v1/secrets/reseal")).json()["resealed"] == 1


async def test_a_gateway_without_a_key_says_what_to_set(template: Path, tmp_path: Path):
    async with running(template, tmp_path, secret_keys=None) as rig:
        for answer in (
            await rig.client.post("/v1/secrets", json=BODY),
            await rig.client.put("/v1/secrets/TOKEN", json={"value": "v"}),
            await rig.client.post("/v1/secrets/reseal"),
        ):
            assert (answer.status_code, refusal_of(answer)) == (503, "unavailable")
            assert "TOOLYARD_SECRETS_KEY" in answer.json()["detail"]
        assert (await rig.client.get("/v1/secrets")).status_code == 200


async def test_nothing_of_a_body_stands_in_the_description_of_the_interface(rig: Rig):
    document = (await rig.client.get("/openapi.json")).json()
    for name in ("NewSecret", "SecretValue"):
        shape = document["components"]["schemas"][name]["properties"]["value"]
        assert shape["writeOnly"] is True
        assert not {"example", "examples", "default"} & shape.keys()
    for name in ("SecretModel", "SecretPage", "SecretVersions"):
        assert "value" not in document["components"]["schemas"][name]["properties"]
