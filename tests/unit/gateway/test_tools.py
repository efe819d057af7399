"""Tools over HTTP: versions, preconditions, lists, and who is told of a change."""

import pytest
from tests.unit.gateway.rig import ECHO

from toolyard.transport import topology


async def test_a_tool_is_created_as_version_1_and_read_again(rig):
    made = await rig.client.post("/v1/tools", json=ECHO)

    read = await rig.client.get(made.headers["Location"])

    assert made.status_code == 201
    assert (made.headers["ETag"], read.headers["ETag"]) == ('"1"', '"1"')
    told = {"version": 1, "annotations": {}, "secrets": [], "contexts": [], "enabled": True}
    assert made.json() == ECHO | told
    assert read.json() == made.json() | {"paused": False}


async def test_a_name_is_taken_once(rig):
    await rig.tool()

    response = await rig.client.post("/v1/tools", json=ECHO)

    assert (response.status_code, response.json()["code"]) == (409, "conflict")


async def test_a_change_is_a_new_version_and_the_old_one_stays(rig):
    await rig.tool()

    changed = await rig.client.put("/v1/tools/echo", json=ECHO | {"title": "Echo"}, headers={"If-Match": '"1"'})
    patched = await rig.client.patch("/v1/tools/echo", json={"enabled": False}, headers={"If-Match": '"2"'})
    versions = await rig.client.get("/v1/tools/echo/versions")
    first = await rig.client.get("/v1/tools/echo", params={"version": 1})

    assert (changed.status_code, changed.json()["version"], changed.headers["ETag"]) == (200, 2, '"2"')
    assert (patched.json()["version"], patched.json()["title"], patched.json()["enabled"]) == (3, "Echo", False)
    assert [item["version"] for item in versions.json()["items"]] == [3, 2, 1]
    assert "title" not in first.json()


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
async def test_a_change_needs_the_version_that_was_read(rig, method):
    await rig.tool()
    body = {"json": {"description": "Other."} | (ECHO if method == "PUT" else {})} if method != "DELETE" else {}

    missing = await rig.client.request(method, "/v1/tools/echo", **body)
    stale = await rig.client.request(method, "/v1/tools/echo", headers={"If-Match": '"7"'}, **body)
    malformed = await rig.client.request(method, "/v1/tools/echo", headers={"If-Match": "1"}, **body)

    assert (missing.status_code, missing.json()["code"]) == (412, "precondition_failed")
    assert "If-Match is missing" in missing.json()["detail"]
    assert (stale.status_code, stale.json()["code"]) == (412, "precondition_failed")
    assert (malformed.status_code, malformed.json()["errors"][0]["path"]) == (422, "If-Match")
    assert (await rig.client.get("/v1/tools/echo")).json()["version"] == 1


async def test_a_deleted_tool_is_gone_and_so_are_its_versions_for_new_calls(rig):
    await rig.tool()

    deleted = await rig.client.delete("/v1/tools/echo", headers={"If-Match": '"1"'})
    again = await rig.client.delete("/v1/tools/echo", headers={"If-Match": '"1"'})

    assert (deleted.status_code, deleted.content) == (204, b"")
    assert (again.status_code, again.json()["code"]) == (404, "tool_not_found")
    assert (await rig.client.get("/v1/tools/echo")).status_code == 404
    assert (await rig.client.get("/v1/tools/echo?version=1")).status_code == 200
    for name in ("echo", "echo@1"):
        refused = await rig.call(name)
        assert (refused.status_code, refused.json()["code"]) == (404, "tool_not_found")
    assert rig.worker.seen == []


@pytest.mark.parametrize("warm", [True, False], ids=["a tool that was called before", "one that was not"])
@pytest.mark.parametrize("version", ["", "@1", "@2"])
async def test_a_tool_that_is_disabled_runs_in_none_of_its_versions(rig, version, warm):
    await rig.tool()
    for name in ("echo", "echo@1") if warm else ():
        await rig.call(name)
    before = len(rig.worker.seen)
    await rig.client.patch("/v1/tools/echo", json={"enabled": False}, headers={"If-Match": '"1"'})

    refused = await rig.call(f"echo{version}")
    tried = await rig.client.post(f"/v1/tools/echo{version}/test", json={"arguments": {"text": "a"}})
    await rig.client.patch("/v1/tools/echo", json={"enabled": True}, headers={"If-Match": '"2"'})
    again = await rig.call(f"echo{version}")

    assert (refused.status_code, refused.json()["code"]) == (403, "permission_denied")
    assert (tried.status_code, again.status_code) == (200, 200)
    assert len(rig.worker.seen) == before + 2


@pytest.mark.parametrize("version", ["abc", "", "0", "-1", "1.0", "01", "1@1", "9999999999"])
async def test_trying_out_a_version_that_is_none_is_refused(rig, version):
    await rig.tool()

    response = await rig.client.post(f"/v1/tools/echo@{version}/test", json={"arguments": {"text": "a"}})

    assert (response.status_code, response.json()["errors"][0]["path"]) == (422, "name")
    assert rig.worker.seen == []


async def test_a_tool_keeps_its_name(rig):
    await rig.tool()

    response = await rig.client.put("/v1/tools/echo", json=ECHO | {"name": "other"}, headers={"If-Match": '"1"'})

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "name"


async def test_a_put_may_leave_the_name_to_its_path(rig):
    await rig.tool()
    body = {name: value for name, value in ECHO.items() if name != "name"}

    response = await rig.client.put("/v1/tools/echo", json=body, headers={"If-Match": '"1"'})

    assert response.status_code == 200


@pytest.mark.parametrize("body", ["[]", "null", '"text"'])
async def test_a_patch_is_an_object(rig, body):
    await rig.tool()

    response = await rig.client.patch(
        "/v1/tools/echo", content=body, headers={"If-Match": '"1"', "Content-Type": "application/merge-patch+json"}
    )

    assert response.status_code == 422


async def test_a_definition_can_be_tried_without_being_kept(rig):
    good = await rig.client.post("/v1/tools/validate", json=ECHO)
    bad = await rig.client.post("/v1/tools/validate", json=ECHO | {"parameters": {"type": "array"}})

    assert (good.status_code, good.json()["valid"], good.json()["tool"]["version"]) == (200, True, 0)
    assert (bad.status_code, bad.json()["errors"][0]["path"]) == (422, "parameters.type")
    assert (await rig.client.get("/v1/tools")).json() == {"items": [], "next_cursor": None}


async def test_a_definition_over_256_kib_is_refused(rig):
    response = await rig.client.post("/v1/tools", json=ECHO | {"description": "d" * 256 * 1024})

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")


async def test_tools_are_listed_by_name_and_found_by_text(rig):
    for name in ("bravo", "alpha", "charlie"):
        await rig.tool(name=name, description=f"Says {name}.", toolkit="nato" if name != "bravo" else None)

    first = (await rig.client.get("/v1/tools", params={"limit": 2})).json()
    rest = (await rig.client.get("/v1/tools", params={"limit": 2, "cursor": first["next_cursor"]})).json()
    found = (await rig.client.get("/v1/tools", params={"q": "says CHAR"})).json()
    kit = (await rig.client.get("/v1/tools", params={"toolkit": "nato"})).json()

    assert [tool["name"] for tool in first["items"]] == ["alpha", "bravo"]
    assert [tool["name"] for tool in rest["items"]] == ["charlie"]
    assert rest["next_cursor"] is None
    assert [tool["name"] for tool in found["items"]] == ["charlie"]
    assert [tool["name"] for tool in kit["items"]] == ["alpha", "charlie"]


@pytest.mark.parametrize("path", ["/v1/tools", "/v1/tools/echo/versions", "/v1/keys", "/v1/calls"])
async def test_a_cursor_that_is_none_of_ours_is_refused(rig, path):
    await rig.tool()

    response = await rig.client.get(path, params={"cursor": "made-up"})

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "cursor"


@pytest.mark.parametrize(("name", "value"), [("format", "gemini"), ("users", "ada"), ("colour", "red")])
async def test_a_filter_that_is_not_acted_on_is_refused(rig, name, value):
    response = await rig.client.get("/v1/tools", params={name: value})

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == name


async def test_the_tools_of_another_org_are_not_there(rig):
    await rig.tool()
    other = await rig.key("admin", org="other")

    assert (await rig.client.get("/v1/tools/echo", headers=other)).status_code == 404
    assert (await rig.client.get("/v1/tools/echo/versions", headers=other)).status_code == 404
    assert (await rig.client.get("/v1/tools", headers=other)).json()["items"] == []
    assert (await rig.call(headers=other)).json()["code"] == "tool_not_found"
    assert (await rig.client.post("/v1/tools", json=ECHO, headers=other)).status_code == 201


# ---- changes reach calls ------------------------------------------------------------------------


async def test_a_change_counts_for_the_next_call(rig):
    await rig.tool()
    assert (await rig.call(arguments={"text": "a"})).status_code == 200
    stricter = ECHO["parameters"] | {"required": ["text", "n"]}

    await rig.client.patch("/v1/tools/echo", json={"parameters": stricter}, headers={"If-Match": '"1"'})

    assert (await rig.call(arguments={"text": "a"})).status_code == 422


async def test_a_change_is_told_to_everybody(rig):
    await rig.tool()

    records = [record for record in rig.journal.read(0, 100) if record.exchange == topology.CONTROL]

    message = rig.envelope.open_control(records[-1])
    assert (message.org, message.tool, message.version, message.sender) == ("default", "echo", 1, "gw-1")


async def test_a_change_elsewhere_is_heard_of(rig):
    await rig.tool()
    await rig.call()
    spec = rig.stores.tools.get("default", "echo")
    rig.stores.tools.replace("default", spec, expected=1)
    assert (await rig.call()).json()["version"] == 1, "remembered for a moment"

    await rig.parts.publisher.tool_changed("default", "echo", 2)

    assert (await rig.call()).json()["version"] == 2


# ---- the same request again ---------------------------------------------------------------------


async def test_the_same_key_creates_a_tool_once(rig):
    key = {"Idempotency-Key": "k"}

    first = await rig.client.post("/v1/tools", json=ECHO, headers=key)
    again = await rig.client.post("/v1/tools", json=ECHO, headers=key)
    other = await rig.client.post("/v1/tools", json=ECHO | {"title": "x"}, headers=key)

    assert (again.status_code, again.content, again.headers["ETag"]) == (201, first.content, '"1"')
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")


async def test_the_same_key_at_another_gateway_finds_the_same_tool(rig):
    key = {"Idempotency-Key": "k"}
    first = await rig.client.post("/v1/tools", json=ECHO, headers=key)
    rig.parts.replays._answers.clear()  # what this gateway remembers, another one does not

    again = await rig.client.post("/v1/tools", json=ECHO, headers=key)
    rig.parts.replays._answers.clear()
    other = await rig.client.post("/v1/tools", json=ECHO | {"title": "x"}, headers=key)

    assert (again.status_code, again.json()) == (201, first.json())
    assert (other.status_code, other.json()["code"]) == (409, "conflict")
