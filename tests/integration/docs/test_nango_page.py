"""The definitions that docs/howto/nango.md shows: each can be saved, and says whether its calls need a user."""

import json
from typing import Any, Final

import pytest
from tests.support import pages

from toolyard.security.egress import AllowList
from toolyard_gateway.bindings import needs_user
from toolyard_gateway.definitions import read_definition, tool_view

PAGE: Final = pages.ROOT / "docs" / "howto" / "nango.md"
DEFINITIONS: Final = [json.loads(block.text) for block in pages.blocks(PAGE) if block.words == ("json", "definition")]


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda one: str(one["name"]))
def test_a_definition_can_be_saved_and_is_shown_as_it_is_written(definition: dict[str, Any]):
    spec = read_definition(definition, allow=AllowList())
    assert tool_view(spec)["binding"] == definition["binding"]
    assert needs_user(spec) == ("connection" not in definition["binding"]["authentication"])


def test_the_page_shows_both_ways():
    assert [one["name"] for one in DEFINITIONS] == ["repositories", "deals"]
