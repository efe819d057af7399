"""The names that may have been meant by one that is none."""

import difflib

import pytest
from tests.unit.gateway.rig import Rig

from toolyard_gateway.nearest import nearest

MANY = [f"shop_article_price_lookup_by_customer_region_{number:04d}_and_more_stuff" for number in range(300)]


@pytest.mark.parametrize(
    ("name", "number", "found"),
    [
        ("wether", 1, ["weather"]),
        ("Wether", 1, ["weather"]),
        ("zzz", 3, []),
        ("", 3, []),
        ("x" * 10_000, 3, []),
    ],
)
def test_the_nearest_of_a_few_names_are_found(name, number, found):
    assert nearest(name, ["create_note", "slow_report", "weather"], number) == found


@pytest.mark.parametrize("meant", [MANY[0], MANY[123], MANY[299]], ids=["first", "middle", "last"])
def test_the_nearest_of_many_like_each_other_is_found(meant):
    assert nearest(meant.replace("customer", "custommer"), MANY, 1) == [meant]


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """An entry for each comparison letter by letter."""
    seen: list[int] = []
    ratio = difflib.SequenceMatcher.ratio

    def counted(self: difflib.SequenceMatcher[str]) -> float:
        seen.append(id(self))
        return ratio(self)

    monkeypatch.setattr(difflib.SequenceMatcher, "ratio", counted)
    return seen


async def test_a_turn_of_unknown_names_compares_few_letter_by_letter(rig: Rig, compared: list[int]):
    for name in MANY[:40]:
        await rig.tool(name=name)
    calls = [
        {"id": f"c{number}", "type": "function", "function": {"name": f"{MANY[number]}_{number}x", "arguments": "{}"}}
        for number in range(10)
    ]
    body = {"format": "openai", "message": {"role": "assistant", "tool_calls": calls}}
    answer = await rig.client.post("/v1/turns", json=body)

    assert all("Did you mean" in message["content"] for message in answer.json()["messages"])
    assert len(compared) <= 10 * (8 + 8) * 2  # difflib takes the ratio of what is near enough twice
