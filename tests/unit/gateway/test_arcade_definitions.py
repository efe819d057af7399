"""Arcade tools: what is refused when one is saved, how it looks afterwards, and that a call of it has a user."""

from typing import Any

import pytest
from tests.unit.gateway.arcade_cases import ACCEPTED, REFUSED, running
from tests.unit.gateway.rig import ECHO

from toolyard.contracts.tools import ArcadeBinding, ToolSpec, effective_annotations, is_rerunnable
from toolyard.errors import FieldsRefused
from toolyard.security.egress import AllowList
from toolyard_gateway.bindings import needed_context, needs_user
from toolyard_gateway.definitions import patched, read_definition, tool_view

MAIL = running({"name": "echo", "parameters": ECHO["parameters"]})


def read(definition: Any) -> ToolSpec:
    return read_definition(definition, allow=AllowList())


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_never_work_is_refused_with_its_field_and_what_would_be_right(name: str):
    definition, field, said = REFUSED[name]

    with pytest.raises(FieldsRefused) as refused:
        read(definition)

    told = {error.path: error.message for error in refused.value.fields}
    assert field in told
    assert said in told[field]


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_works_is_kept_as_it_was_meant_and_shown_as_it_was_written(name: str):
    definition = ACCEPTED[name]

    spec = read(definition)

    shown = tool_view(spec)
    assert shown["binding"] == definition["binding"]
    assert read({key: value for key, value in shown.items() if key != "version"}) == spec


def test_a_scope_that_is_said_twice_is_said_once():
    spec = read(running(provider="google", scopes=["a", "b", "a"]))

    assert isinstance(spec.binding, ArcadeBinding)
    assert spec.binding.scopes == ("a", "b")


def test_a_patch_changes_the_version_and_null_takes_it_away():
    spec = read(running(tool_version="1", provider="google", scopes=["a"]))

    assert tool_view(read(patched(spec, {"binding": {"tool_version": "2"}})))["binding"]["tool_version"] == "2"
    gone = read(patched(spec, {"binding": {"tool_version": None, "provider": None, "scopes": None}}))
    assert tool_view(gone)["binding"] == running()["binding"]


def test_a_tool_of_arcade_may_do_anything_unless_its_author_says_otherwise():
    found = effective_annotations(read(running()))

    assert (found.read_only, found.idempotent, is_rerunnable(read(running()))) == (False, False, False)
    assert is_rerunnable(read(running({"annotations": {"read_only": True}})))


def test_it_needs_the_context_that_it_lists_and_a_user():
    assert needed_context(read(running({"contexts": ["tenant"]}))) == {"tenant"}
    assert needs_user(read(running()))
    assert not needs_user(read(ECHO))


# ---- calls --------------------------------------------------------------------------------------


async def test_a_call_for_nobody_is_refused_at_the_door(rig):
    await rig.tool(**MAIL)

    refused = await rig.call()

    assert (refused.status_code, refused.json()["code"]) == (422, "validation_failed")
    (error,) = refused.json()["errors"]
    assert error["path"] == "user"
    assert error["message"].startswith("is needed: the tool acts with that user's own authorization")
    assert (await rig.call(user="  ")).json()["errors"][0]["path"] == "user"
    assert rig.worker.seen == []


async def test_everything_that_is_wrong_with_a_call_is_named_at_once(rig):
    await rig.tool(**MAIL)

    refused = await rig.call(arguments={"n": 0})

    assert {error["path"] for error in refused.json()["errors"]} >= {"user", "arguments.n"}


async def test_so_is_a_schedule_for_nobody(rig):
    await rig.tool(**MAIL)
    schedule = {"name": "nightly", "tool": "echo", "arguments": {"text": "hi"}, "every": 3600}

    refused = await rig.client.post("/v1/schedules", json=schedule)
    taken = await rig.client.post("/v1/schedules", json=schedule | {"user": "ann"})

    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "user")
    assert (taken.status_code, taken.json()["user"]) == (201, "ann")
