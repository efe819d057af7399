"""README and docs agree with the code: made parts are up to date, and what is named exists."""

import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
from docs import generate
from tests.support import pages

from toolyard import settings, states
from toolyard.cli.app import build
from toolyard.errors import CODES

every_page = pytest.mark.parametrize("page", pages.pages(), ids=pages.name)
LANGUAGES = {("bash",), ("bash", "background"), ("text",), ("json",), ("json", "answer"), ("mermaid",), ("yaml",)}
#: Tools with what they are given and how they end: run by tests/integration/docs.
LANGUAGES |= {("python",), ("python", "follow"), ("python", "replay"), ("text", "logs"), ("text", "answer")}
LANGUAGES |= {
    ("json", of) for of in ("binding", "definition", "secrets", "context", "upstream", "arguments", "returns", "fails")
}


@pytest.mark.parametrize("page", generate.pages(), ids=pages.name)
def test_made_parts_are_up_to_date(page: Path):
    text = page.read_text()
    assert generate.renewed(text) == text, "run: python docs/generate.py"


def test_made_files_are_up_to_date_and_there_are_no_others():
    made = {path: generate.written(document) for path, document in generate.files().items()}
    there = {path: path.read_text() for path in (generate.HERE / "reference").rglob("*.json")}
    assert there == made, "run: python docs/generate.py"


@pytest.mark.parametrize("part", generate.PARTS)
def test_every_made_part_stands_on_a_page(part: str):
    marker = f"<!-- made of the code: {part} "
    assert sum(marker in page.read_text() for page in generate.pages()) == 1


def test_a_part_that_is_not_closed_is_an_error_and_not_the_end_of_the_page():
    with pytest.raises(ValueError, match="end of codes"):
        generate.renewed("<!-- made of the code: codes (python docs/generate.py) -->\nthe rest")


def test_the_picture_of_the_states_says_what_the_table_says():
    """Read back from the page, arrow by arrow."""
    (picture,) = [block for block in pages.blocks(_lifecycle()) if block.words == ("mermaid",)]
    groups = {name: text.split() for name, text in re.findall(r"state (\w+) \{([^}]*)\}", picture.text)}
    drawn: dict[str, set[str]] = {state: set() for state in states.STATES}
    for source, target, label in re.findall(r"^ +(\w+) --> (\w+)(?:: (.*))?$", picture.text, re.MULTILINE):
        named = set(label.removeprefix("but not ").split(", ")) if label else set()
        inside = set(groups.get(target, [target]))
        drawn[source] |= inside - named if label.startswith("but not") else named or inside
    assert drawn == {state: set(after) for state, after in states.MOVES.items()}


def test_every_state_and_every_code_is_explained():
    assert set(re.findall(r"^- (`.*`): ", _lifecycle().read_text(), re.MULTILINE)) != set()
    listed = " ".join(re.findall(r"^- (`[^:]*`):", _lifecycle().read_text(), re.MULTILINE))
    assert set(re.findall(r"`(\w+)`", listed)) == set(states.STATES)
    codes = (generate.HERE / "reference" / "codes.md").read_text()
    assert set(re.findall(r"^\| `(\w+)` \|", codes, re.MULTILINE)) == set(CODES)


# ---- what is named exists -----------------------------------------------------------------------


@every_page
def test_links_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith(("http://", "https://")):
            assert (page.parent / target).exists(), target


def test_every_page_is_reached_from_the_index():
    reached, seen = [generate.HERE / "index.md"], set()
    while reached:
        page = reached.pop().resolve()
        if page.suffix == ".md" and page not in seen:
            seen.add(page)
            reached += [page.parent / target for target in re.findall(r"\]\(([^):#]+\.md)", page.read_text())]
    assert {page.resolve() for page in generate.pages()} <= seen


def test_decisions_are_numbered_without_a_gap_and_stand_in_the_index_in_order():
    files = sorted(page.name for page in (generate.HERE / "decisions").glob("*.md"))
    listed = re.findall(
        r"^- \[(\d{4}): [^]]+\]\(decisions/([^)]+)\)$", (generate.HERE / "index.md").read_text(), re.MULTILINE
    )
    assert [name for _, name in listed] == files
    assert [(number, name[:4]) for number, name in listed] == [(f"{n:04}", f"{n:04}") for n in range(1, len(files) + 1)]


@every_page
def test_blocks_are_of_a_known_kind_and_json_is_json(page: Path):
    for block in pages.blocks(page):
        assert block.words in LANGUAGES, f"line {block.line}"
        if block.words[0] == "json":
            json.loads(block.text)


@every_page
def test_settings_exist(page: Path):
    for name in re.findall(r"TOOLYARD_[A-Z_]+", page.read_text()):
        assert name in settings.KNOWN or name.startswith(settings.PREFIXES) or name == "TOOLYARD_", name


def _typed(page: Path) -> str:
    """The page without what commands print."""
    text = page.read_text()
    for block in pages.blocks(page):
        if block.words == ("text", "answer"):
            text = text.replace(block.text, "")
    return text


@pytest.mark.parametrize(
    ("shown", "printed", "same"),
    [
        ("state succeeded", "state      succeeded\n", True),
        ("state succeeded", "state failed", False),
        ("state succeeded", "state succeeded\nand more", False),
        ("http 1 … no", "http  1   3.4 s  0  no", True),
        ("… 3 calls …", "so 3 calls were", True),
        ("a.c", "abc", False),
    ],
)
def test_an_answer_is_what_the_page_shows_of_it(shown: str, printed: str, same: bool):
    assert pages.says(shown, printed) is same


@every_page
def test_commands_and_their_options_exist(page: Path):
    for line in re.findall(r"(?:^|[`$(;&|]|\d )toolyard ([a-z][^`\n)|;&#]*)", _typed(page), re.MULTILINE):
        words = line.split()
        command = _command(words)
        assert command is not None, line
        if not command.context_settings.get("ignore_unknown_options"):
            known = {option for param in command.params for option in param.opts} | {"--help"}
            assert {word for word in words if word.startswith("--")} <= known, line


@every_page
def test_make_targets_exist(page: Path):
    targets = set(re.findall(r"^([a-z0-9-]+):", (pages.ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:^|`)make ([a-z-]+)$", page.read_text(), re.MULTILINE)) <= targets


def test_the_readme_begins_with_what_it_is_its_flow_and_what_to_type():
    """The first screen: a sentence, a picture, `make run`, a call with its answer. Then a turn, and `make test`."""
    kinds = [block.words for block in pages.blocks(pages.ROOT / "README.md")]
    run, answer = ("bash",), ("json", "answer")
    assert kinds == [("text",), ("text",), run, answer, run, answer, ("text",)]
    _, first, second, _, third, *_ = [block.text for block in pages.blocks(pages.ROOT / "README.md")]
    assert first == "make run\n"
    assert second.startswith("curl -s http://127.0.0.1:8080/v1/calls")
    assert third.startswith("curl -s http://127.0.0.1:8080/v1/turns")
    assert pages.blocks(pages.ROOT / "README.md")[-1].text == "make test\n"


def _lifecycle() -> Path:
    return generate.HERE / "concepts" / "call-lifecycle.md"


def _command(words: list[str]) -> Any:
    command: Any = typer.main.get_command(build())
    for word in words:
        inner = getattr(command, "commands", None)
        if inner is None:
            break
        command = inner.get(word)
        if command is None:
            return None
    return command
