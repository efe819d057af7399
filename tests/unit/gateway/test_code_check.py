"""Who looks at the code of a definition, in which order, and what its author is told; the jail itself is elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.unit.gateway.rig import ECHO, Rig, SetClock, running
from tests.unit.gateway.sandbox_cases import CODE, sandboxed
from tests.unit.shared.test_imports import loaded_by

from toolyard.contracts.tools import ToolSpec
from toolyard.errors import FieldError, FieldsRefused, Refused, SettingsError
from toolyard.sandbox.runner import Checked, Level, Problem, ServerLost
from toolyard.security.egress import AllowList
from toolyard_gateway import code_check
from toolyard_gateway.code_check import CodeCheck, OwnRunner
from toolyard_gateway.definitions import read_definition

GOOD = Checked((), b"code")


class Looker:
    """Looks at sources as a test says: a `Checker`.

    Attributes:
        seen: what it was asked, in order.
        gate: where it is cleared, nothing comes to an end.
    """

    def __init__(self, *problems: Problem, error: Exception | None = None) -> None:
        self.checked = Checked(problems, None) if problems else GOOD
        self.error = error
        self.seen: list[str] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def check(self, source: str, allowed_imports: Sequence[str] | None) -> Checked:
        del allowed_imports
        self.seen.append(source)
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.checked


def spec(code: str = CODE, **binding: Any) -> ToolSpec:
    return read_definition(sandboxed(code=code, **binding), allow=AllowList())


async def told(looker: Looker, tool: ToolSpec) -> list[FieldError]:
    with pytest.raises(FieldsRefused) as refused:
        await CodeCheck(looker).check("default", tool)
    assert refused.value.refusal == "validation_failed"
    return list(refused.value.fields)


# ---- what the author is told --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("problem", "path", "message"),
    [
        (Problem(3, 5, "`x` is not defined"), "binding.code", "line 3, column 5: `x` is not defined"),
        (Problem(3, 0, "too long"), "binding.code", "line 3: too long"),
        (Problem(0, 0, "takes too long to look at"), "binding.code", "takes too long to look at"),
        (Problem(0, 0, "allowed_imports: `re2` is none"), "binding.allowed_imports.1", "`re2` is none"),
        (Problem(0, 0, "allowed_imports: `x` is none"), "binding.allowed_imports", "`x` is none"),
        (Problem(1, 1, "allowed_imports: `re2`"), "binding.code", "line 1, column 1: allowed_imports: `re2`"),
        (Problem(1, 1, "x" * 4_000), "binding.code", "line 1, column 1: " + "x" * 500),
    ],
    ids=["place", "line", "none", "import", "unknown import", "in the code", "long"],
)
async def test_a_problem_has_its_place_in_the_definition(problem: Problem, path: str, message: str):
    found = await told(Looker(problem), spec(allowed_imports=["re", "re2"]))

    assert found == [FieldError(path, message)]


async def test_all_problems_are_told_in_their_order():
    problems = [Problem(line, 1, "wrong") for line in range(1, 101)]

    found = await told(Looker(*problems), spec())

    assert [error.message for error in found] == [f"line {line}, column 1: wrong" for line in range(1, 101)]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ServerLost("its server died"), "The code cannot be checked now: its server died."),
        (SettingsError("no seccomp here"), "This gateway cannot check code, so it saves none: no seccomp here."),
    ],
)
async def test_what_nobody_could_look_at_is_refused_with_the_reason(error: Exception, said: str):
    with pytest.raises(Refused) as refused:
        await CodeCheck(Looker(error=error)).check("default", spec())

    assert (refused.value.refusal, refused.value.detail) == ("unavailable", said)
    assert refused.value.retry_after is not None


# ---- what is looked at --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("before", "after", "looked"),
    [
        (None, sandboxed(), True),
        (None, ECHO, False),
        (sandboxed(), sandboxed({"description": "Other."}, memory_limit_mb=32), False),
        (sandboxed(), sandboxed(code=CODE + "\n"), True),
        (sandboxed(), sandboxed(allowed_imports=[]), True),
        (sandboxed(allowed_imports=["re", "json"]), sandboxed(allowed_imports=["re"]), True),
        (ECHO, sandboxed(), True),
        (sandboxed(), ECHO, False),
    ],
    ids=["new", "no code", "other fields", "code", "imports", "fewer imports", "from http", "to http"],
)
async def test_code_is_looked_at_unless_it_was_before(
    before: dict[str, Any] | None, after: dict[str, Any], looked: bool
):
    looker = Looker()
    old = None if before is None else read_definition(before, allow=AllowList())

    await CodeCheck(looker).check("default", read_definition(after, allow=AllowList()), old)

    assert bool(looker.seen) is looked


async def test_one_source_is_looked_at_at_a_time_and_no_org_is_kept_waiting_by_another():
    looker = Looker()
    looker.gate.clear()
    check = CodeCheck(looker)
    asked = [(org, f"# {org}{number}") for org in ("a", "b", "c") for number in range(3)]
    waiting = []
    for org, code in asked:
        waiting.append(asyncio.create_task(check.check(org, spec(code))))
        await asyncio.sleep(0)

    assert looker.seen == ["# a0"]
    looker.gate.set()
    await asyncio.gather(*waiting)

    assert [code[2:] for code in looker.seen] == ["a0", "b0", "c0", "a1", "b1", "c1", "a2", "b2", "c2"]


async def test_who_waits_too_long_is_told_and_the_next_one_has_its_turn(monkeypatch: pytest.MonkeyPatch):
    looker = Looker()
    check = CodeCheck(looker)
    monkeypatch.setattr(code_check, "PATIENCE", 0.05)
    looker.gate.clear()

    results = await asyncio.gather(*(check.check(org, spec()) for org in ("a", "a", "b")), return_exceptions=True)

    assert [getattr(result, "refusal", None) for result in results] == ["unavailable"] * 3
    looker.gate.set()
    await check.check("a", spec())


# ---- the gateway's own runner -------------------------------------------------------------------


class Runners:
    """Stands for the class `Runner`: notes what becomes of each, and fails as told."""

    def __init__(self) -> None:
        self.made: list[dict[str, Any]] = []
        self.stopped = 0
        self.error: Exception | None = None
        self.may_start = asyncio.Event()
        self.may_start.set()

    def __call__(self, **said: Any) -> "Runners":
        self.made.append(said)
        return self

    async def start(self) -> Any:
        await self.may_start.wait()
        if self.error is not None:
            raise self.error
        return type("Isolation", (), {"level": Level.FULL})

    async def check(self, source: str, allowed_imports: Sequence[str] | None) -> Checked:
        del source, allowed_imports
        return GOOD

    async def stop(self) -> None:
        self.stopped += 1


@pytest.fixture
def runners(monkeypatch: pytest.MonkeyPatch) -> Runners:
    made = Runners()
    monkeypatch.setattr(code_check, "Runner", made)
    return made


async def test_nothing_is_started_before_it_is_needed_and_then_once(runners: Runners):
    own = OwnRunner(Level.DEGRADED, SetClock())
    await own.stop()
    assert runners.made == []

    own = OwnRunner(Level.DEGRADED, SetClock())
    await asyncio.gather(*(own.check(CODE, None) for _ in range(5)))
    await own.stop()

    assert [(said["children"], said["minimum"]) for said in runners.made] == [(1, Level.DEGRADED)]
    assert runners.stopped == 1


@pytest.mark.parametrize("error", [SettingsError("no walls"), ServerLost("no server"), OSError(24, "Too many files")])
async def test_a_start_that_failed_is_tried_again_only_after_a_while(runners: Runners, error: Exception):
    clock = SetClock()
    own = OwnRunner(Level.CONTAINER, clock)
    runners.error = error
    raised = SettingsError if isinstance(error, SettingsError) else ServerLost

    for _ in range(3):
        with pytest.raises(raised):
            await own.check(CODE, None)
    assert (len(runners.made), runners.stopped) == (1, 1)
    runners.error = None
    clock.move(code_check.PAUSE)

    assert await own.check(CODE, None) == GOOD
    await own.stop()


async def test_a_start_goes_on_where_who_asked_for_it_went_away(runners: Runners):
    own = OwnRunner(Level.CONTAINER, SetClock())
    runners.may_start.clear()
    first = asyncio.create_task(own.check(CODE, None))
    await asyncio.sleep(0)
    first.cancel()
    second = asyncio.create_task(own.check(CODE, None))
    runners.may_start.set()

    assert await second == GOOD
    assert (first.cancelled(), len(runners.made)) == (True, 1)
    await own.stop()


async def test_a_gateway_that_stops_while_it_starts_leaves_nothing_and_starts_no_more(runners: Runners):
    own = OwnRunner(Level.CONTAINER, SetClock())
    runners.may_start.clear()
    asking = asyncio.create_task(own.check(CODE, None))
    await asyncio.sleep(0)
    await asyncio.sleep(0)

    await own.stop()

    with pytest.raises(ServerLost, match="stopping"):
        await own.check(CODE, None)
    with pytest.raises(ServerLost, match="stopping"):
        await asking
    assert runners.stopped == 1


def test_a_gateway_knows_the_language_of_tools_by_its_name_alone():
    """What reads hostile sources is loaded in jailed processes, and nowhere else."""
    loaded = loaded_by("import toolyard_gateway.app, toolyard_gateway.process")

    assert not [name for name in loaded if name.startswith(("RestrictedPython", "toolyard.sandbox.language"))]


# ---- over HTTP ----------------------------------------------------------------------------------


@pytest.fixture
def looker() -> Looker:
    return Looker()


@pytest.fixture
async def gateway(template: Path, tmp_path: Path, looker: Looker) -> AsyncIterator[Rig]:
    async with running(template, tmp_path, code_check=looker) as made:
        yield made


async def test_below_the_minimum_nothing_with_code_is_saved_and_all_else_goes_on(gateway: Rig, looker: Looker):
    await gateway.tool(sandboxed(), name="before")
    looker.error = SettingsError("the sandbox reaches the level 'off' here, 'container' is the least: no seccomp")
    current = {"If-Match": '"1"'}

    refused = [
        await gateway.client.post("/v1/tools", json=sandboxed()),
        await gateway.client.post("/v1/tools/validate", json=sandboxed()),
        await gateway.client.put("/v1/tools/before", json=sandboxed({"name": "before"}, code="#"), headers=current),
        await gateway.client.patch("/v1/tools/before", json={"binding": {"code": "#"}}, headers=current),
    ]
    changed = await gateway.client.patch("/v1/tools/before", json={"title": "Words"}, headers=current)

    for response in refused:
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert "no seccomp" in response.json()["detail"]
        assert response.headers["Retry-After"] == "60"
    assert (changed.status_code, changed.json()["version"]) == (200, 2)
    assert (await gateway.client.get("/v1/tools/words")).status_code == 404
    await gateway.tool()
    assert (await gateway.call()).status_code == 200


async def test_code_is_looked_at_last_and_only_for_who_may_save_it(gateway: Rig, looker: Looker):
    caller = await gateway.key("caller")

    await gateway.client.post("/v1/tools", json=sandboxed({"timeout": -1}))
    await gateway.client.post("/v1/tools", json=sandboxed(memory_limit_mb=1))
    forbidden = await gateway.client.post("/v1/tools", json=sandboxed(), headers=caller)
    unknown = await gateway.client.put("/v1/tools/words", json=sandboxed(), headers={"If-Match": '"1"'})

    assert (forbidden.status_code, unknown.status_code, unknown.json()["code"]) == (403, 404, "tool_not_found")
    assert looker.seen == []


async def test_the_same_key_is_answered_without_looking_again(gateway: Rig, looker: Looker):
    for _ in range(2):
        made = await gateway.client.post("/v1/tools", json=sandboxed(), headers={"Idempotency-Key": "k"})
        assert made.status_code == 201

    assert len(looker.seen) == 1


async def test_a_call_without_the_context_that_the_tool_needs_is_refused_before_it_is_accepted(gateway: Rig):
    await gateway.tool(sandboxed({"contexts": ["tenant"]}))

    refused = await gateway.call("words")

    assert (refused.status_code, refused.json()["code"]) == (422, "context_required")
    assert refused.json()["errors"] == [{"path": "context.tenant", "message": "is needed by the tool; give it"}]


@pytest.mark.parametrize("form", ["openai", "anthropic"])
async def test_models_see_a_sandboxed_tool_as_they_see_any_other(gateway: Rig, form: str):
    await gateway.tool(sandboxed())

    (item,) = (await gateway.client.get("/v1/tools", params={"format": form})).json()["items"]

    assert "words" in (item.get("name"), item.get("function", {}).get("name"))
    assert "def execute_tool" not in str(item)
