"""`toolyard demo` as a newcomer runs it: what it prints is true, and it leaves nothing behind."""

import json
import re
import signal
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from tests.support import leash
from tests.support.embedded import clean_environment
from tests.support.processes import Process, console_script

pytestmark = pytest.mark.usefixtures("uncounted")

WITHIN = 60
#: What a user may have set for their own system; the tour must not look at it.
OF_THE_USER = {
    "TOOLYARD_TRANSPORT_URL": "amqp://127.0.0.1:1/",
    "TOOLYARD_DATABASE_URL": "postgresql://127.0.0.1:1/none",
    "TOOLYARD_API_KEY": "short",
    "TOOLYARD_PORT": "1",
    "TOOLYARD_PRT": "misspelt",
    "AWS_PROFILE": "not-there",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:1/",
    "HTTP_PROXY": "http://127.0.0.1:1/",
}
#: The tour with a first step that must fail: its city is one that the tool does not know.
FAILING = """
from dataclasses import replace
from toolyard_embedded.demo import __main__ as command, process
call, *_ = process.STEPS
process.STEPS = (replace(call, body=call.body | {"arguments": {"city": "Atlantis"}}),)
command.main()
"""
#: A tour where tools must be locked up better than they can be, with the steps of the pools alone.
WITHOUT_SANDBOX = """
from functools import partial
from toolyard_embedded.demo import __main__ as command, process
process.EmbeddedSettings = partial(process.EmbeddedSettings, sandbox_minimum="full")
process.STEPS = process.STEPS[:3]
command.main()
"""
#: A container without namespaces, as engines start it.
IN_A_CONTAINER = [sys.executable, "-m", "tests.support.jail.standing", "-", "container"]
REPOSITORY = Path(__file__).resolve().parents[2]
#: A tour that is still under way whenever a signal comes.
LONG = """
from toolyard_embedded.demo import __main__ as command, process
process.STEPS *= 100
command.main()
"""
LIFE = ("accepted", "started", "succeeded")


class Place(NamedTuple):
    """Where a tour runs: the folder of its user, and the one for what is temporary."""

    folder: Path
    temporary: Path

    def run(self, *command: str, **env: str) -> Process:
        """Start it there, with a data folder of the user beside it."""
        kept = self.folder / ".toolyard"
        kept.mkdir(parents=True)
        (kept / "key").write_text("mine")
        self.temporary.mkdir()
        variables = {**clean_environment(), "TMPDIR": str(self.temporary), **env}
        log = self.folder.with_suffix(".log")
        return Process(command, cwd=self.folder, env=variables, log=log)

    def check_nothing_is_left(self, process: Process) -> None:
        """What was there is as it was, and nothing else is there, nor runs."""
        assert leash.members(process.pid) == set()
        assert list(self.temporary.iterdir()) == []
        assert [path.relative_to(self.folder) for path in self.folder.rglob("*")] == [
            Path(".toolyard"),
            Path(".toolyard/key"),
        ]
        assert (self.folder / ".toolyard" / "key").read_text() == "mine"


def place(under: Path, name: str = "a") -> Place:
    return Place(under / name, under / f"{name}-temporary")


DEMO = console_script("toolyard", "demo")


class Tours(NamedTuple):
    """What the command printed, for people and for scripts."""

    plain: str
    documents: list[dict[str, Any]]


@pytest.fixture(scope="module")
def tours(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tours]:
    """Both forms, side by side: two tours do not get in each other's way."""
    places = [place(tmp_path_factory.mktemp("demo"), name) for name in ("plain", "json")]
    with places[0].run(*DEMO, **OF_THE_USER) as plain, places[1].run(*DEMO, "--json", **OF_THE_USER) as scripted:
        for each, where in zip((plain, scripted), places, strict=True):
            assert each.wait(within=WITHIN) == 0, each.output()
            where.check_nothing_is_left(each)
        yield Tours(plain.output(), [json.loads(line) for line in scripted.output().splitlines()])


def test_it_shows_its_steps_and_says_where_to_go_next(tours: Tours):
    titles = re.findall(r"^(\d)/7  (.*)$", tours.plain, re.MULTILINE)
    assert titles == [
        ("1", "A call"),
        ("2", "A tool in Python, in the sandbox"),
        ("3", "A function, on a stand-in for AWS Lambda"),
        ("4", "A tool that needs its user's consent, on a stand-in for Arcade"),
        ("5", "A turn, in the format of OpenAI"),
        ("6", "A tool that fails"),
        ("7", "A timeout"),
    ]
    assert "the model gets: The service behind the tool failed: it answered 404: there is no city" in tours.plain
    assert "phase: attempt\n  effect: unknown\n" in tours.plain
    assert tours.plain.rstrip().endswith("a tool of your own")
    assert "make run" in tours.plain


def test_it_can_be_read_in_a_pipe_and_on_eighty_columns(tours: Tours):
    assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", tours.plain) is None
    long = [line for line in tours.plain.splitlines() if len(line) > 80 or line != line.rstrip()]
    assert [line for line in long if not line.startswith("  the model gets: ")] == []


def test_the_message_that_goes_in_and_those_that_come_back_are_shown_whole(tours: Tours):
    request = re.search(r"^  POST /v1/turns\n(  \{.*?^  \})$", tours.plain, re.MULTILINE | re.DOTALL)
    messages = re.search(r"^  messages:\n(  \[.*?^  \])$", tours.plain, re.MULTILINE | re.DOTALL)
    assert request
    assert messages
    asked = [each["id"] for each in json.loads(request[1])["message"]["tool_calls"]]
    assert [message["tool_call_id"] for message in json.loads(messages[1])] == asked


def shown(step: str) -> list[tuple[str, str]]:
    """The events of a step, in order: the tool, and what happened."""
    return re.findall(r"^ +[0-9.]+ s  (\w+)  (\w+)$", step, re.MULTILINE)


def test_events_are_shown_with_their_tools(tours: Tours):
    _, call, sandbox, function, consent, turn, failing, timeout = re.split(r"^\d/7 ", tours.plain, flags=re.MULTILINE)
    begin = [("weather", "accepted"), ("weather", "started")]
    assert shown(call) == [*begin, ("weather", "succeeded")]
    assert shown(sandbox) == [("count_words", word) for word in LIFE]
    assert shown(function) == [("price", word) for word in LIFE]
    waits = ("accepted", "started", "authorization_required", "started", "succeeded")
    assert shown(consent) == [("free_hours", word) for word in waits]
    assert shown(failing) == [*begin, ("weather", "failed")]
    ended = [event for event in shown(timeout) if event != ("slow_report", "soft_timeout")]
    assert ended == [("slow_report", word) for word in ("accepted", "started", "timed_out")]
    for tool, calls in (("weather", 1), ("slow_report", 2)):
        assert Counter(word for of, word in shown(turn) if of == tool) == dict.fromkeys(LIFE, calls)


def test_scripts_get_a_document_a_step(tours: Tours):
    assert [document["step"] for document in tours.documents] == [
        *("call", "sandbox", "lambda", "consent", "turn", "failing_tool", "timeout")
    ]
    members = {"step", "says", "request", "events", "answer", "problem"}
    assert all(document.keys() == members and document["problem"] is None for document in tours.documents)
    assert all(
        event.keys() == {"call_id", "tool", "event"} for document in tours.documents for event in document["events"]
    )
    call, sandbox, function, consent, turn, failing, timeout = (document["answer"] for document in tours.documents)
    assert (call["state"], call["result"]["structured"]["city"]) == ("succeeded", "Lisbon")
    assert sandbox["report"]["logs"] == "6 words\n"
    assert (function["result"]["structured"], function["effect"]) == ({"sku": "pear", "price": 1.5}, "done")
    assert function["report"]["logs"] == f"asked for pear by the call {function['call_id']}\n"
    assert (consent["user"], consent["attempts"], consent["effect"]) == ("ada", 2, "done")
    assert [each["state"] for each in turn["calls"]] == ["succeeded"] * 3
    assert (failing["error"]["code"], failing["effect"]) == ("upstream_error", "none")
    assert (timeout["error"]["phase"], timeout["effect"]) == ("attempt", "unknown")


def test_what_does_not_come_as_it_must_ends_it_with_the_reason(tmp_path: Path):
    where = place(tmp_path)
    with where.run(sys.executable, "-c", FAILING) as process:
        assert process.wait(within=WITHIN) == 1
        assert "demo_failed: A call: events: " in process.output()
        assert "Traceback" not in process.output()
        where.check_nothing_is_left(process)


def test_a_pool_that_cannot_run_is_left_out_in_one_line(tmp_path: Path):
    where = place(tmp_path)
    with where.run(*IN_A_CONTAINER, sys.executable, "-c", WITHOUT_SANDBOX, PYTHONPATH=str(REPOSITORY)) as process:
        assert process.wait(within=WITHIN) == 0, process.output()
        lines = process.output().splitlines()
        (said,) = [line for line in lines if line.startswith("Left out: ")]
        assert said.startswith("Left out: A tool in Python, in the sandbox: ")
        assert [line[:3] for line in lines if re.match(r"\d/\d", line)] == ["1/2", "2/2"]
        where.check_nothing_is_left(process)


def test_ctrl_c_on_the_way_leaves_no_process_and_no_folder(tmp_path: Path):
    where = place(tmp_path)
    with where.run(sys.executable, "-c", LONG) as process:
        process.wait_for_line("slow_report  started", within=WITHIN)
        process.send(signal.SIGINT)
        assert process.wait(within=WITHIN) == 130
        assert process.output().splitlines()[-1] == "Stopped before its end; nothing is left behind."
        where.check_nothing_is_left(process)


def test_nor_do_two_signals_while_it_starts(tmp_path: Path):
    where = place(tmp_path)
    with where.run(sys.executable, "-c", LONG) as process:
        process.wait_for(lambda: list(where.temporary.iterdir()), what="the folder of the tour", within=WITHIN)
        process.send(signal.SIGTERM)
        process.send(signal.SIGINT)
        assert process.wait(within=WITHIN) == 130
        assert "Traceback" not in process.output()
        where.check_nothing_is_left(process)


def test_help_says_what_it_does(tmp_path: Path):
    where = place(tmp_path)
    with where.run(*DEMO, "--help") as process:
        assert process.wait(within=WITHIN) == 0
        assert "--json" in process.output()
