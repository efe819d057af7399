"""Tools as authors write them: each gives what plain Python gives."""

import base64
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from tests.sandbox.language import cases

from toolyard.sandbox.jail.jail import Jail, Level, Limits

ORDINARY = cases.cases("ordinary")


@pytest.mark.parametrize("case", ORDINARY, ids=lambda case: case.name)
def test_an_ordinary_tool_works(case: cases.Case):
    given = {key: case.fields[key] for key in ("parameters", "context", "environment") if key in case.fields}
    upstream = Upstream(case.fields.get("asks", []))
    told = cases.run(case.source, upstream.ask, **given)
    assert told.get("value") == case.fields["expects"], told
    assert told["prints"] == case.fields.get("prints", "")
    assert upstream.asked_for(case.fields.get("asked", []))
    assert told["requests"] == len(case.fields.get("asks", []))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def jail() -> AsyncIterator[Jail]:
    locked = Jail("toolyard.sandbox.language.guest", children=1, minimum=Level.DEGRADED)
    await locked.start()
    yield locked
    await locked.stop()


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", ORDINARY, ids=lambda case: case.name)
async def test_it_works_locked_up_where_nothing_more_can_be_imported_or_read(jail: Jail, case: cases.Case):
    given = {key: case.fields[key] for key in ("parameters", "context", "environment") if key in case.fields}
    upstream = Upstream(case.fields.get("asks", []))

    async def answer(question: bytes) -> bytes:
        return upstream.ask(question)

    checked = json.loads((await jail.run("check", cases.check_payload(case.source), limits=Limits())).body)
    payload = cases.run_payload(base64.b64decode(checked["code"]), **given)
    told = json.loads((await jail.run("run", payload, limits=Limits(), answer=answer)).body)
    assert told.get("value") == case.fields["expects"], told


def test_there_are_at_least_sixty_and_no_two_of_one_name():
    assert len({case.name for case in ORDINARY}) == len(ORDINARY) >= 60


class Upstream:
    """Answers what it is told to, in order, and compares what it was asked."""

    def __init__(self, answers: list[dict[str, object]]) -> None:
        self._answers = list(answers)
        self._asked: list[dict[str, object]] = []

    def ask(self, question: bytes) -> bytes:
        asked = json.loads(question)
        self._asked.append(asked | {"body": base64.b64decode(asked["body"]).decode()})
        answer = self._answers[len(self._asked) - 1]
        if "body" in answer:
            answer = answer | {"body": base64.b64encode(str(answer["body"]).encode()).decode()}
        return json.dumps(answer).encode()

    def asked_for(self, expected: list[dict[str, object]]) -> bool:
        """Whether each question had at least these members."""
        shown = [{key: asked[key] for key in wanted} for asked, wanted in zip(self._asked, expected, strict=True)]
        assert shown == expected
        return True
