"""The root of the command: its first screen, its service commands, and that every command explains itself."""

import re
import sys
import types
from importlib.metadata import EntryPoint

import pytest
from tests.unit.cli.conftest import Run

import toolyard
from toolyard.cli import services
from toolyard.errors import SettingsError

COMMANDS = [
    "dev",
    "demo",
    "gateway",
    "worker",
    "scheduler",
    "ledger",
    "call",
    "calls",
    "tools",
    "schedules",
    "authorizations",
    "secrets",
    "pools",
    "logs",
    "keys",
    "events",
    "webhooks",
    "topology",
    "doctor",
    "dead-letters",
]
CLIENT = [
    *(("call",), ("calls", "list"), ("calls", "get"), ("tools", "list"), ("tools", "get"), ("tools", "create")),
    *(("tools", "update"), ("tools", "delete"), ("tools", "validate"), ("tools", "test")),
    *(("calls", "cancel"), ("tools", "pause"), ("tools", "resume")),
    *(("tools", "apply"), ("tools", "diff"), ("tools", "export")),
    *(("pools", "list"), ("pools", "pause"), ("pools", "resume")),
    *(("schedules", each) for each in ("list", "create", "show", "pause", "resume", "delete")),
    *(("authorizations", each) for each in ("list", "start")),
    *(("secrets", each) for each in ("set", "list", "show", "delete", "reseal")),
    *(("dead-letters", each) for each in ("list", "show", "replay")),
    *(("keys", "list"), ("keys", "create"), ("keys", "revoke")),
    *(("events", each) for each in ("tail", "replay", "export")),
    *(("webhooks", each) for each in ("list", "add", "show", "enable", "disable")),
    *(("webhooks", each) for each in ("rotate", "test", "deliveries", "remove")),
]


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)])
def test_the_first_screen_names_every_command_and_where_to_begin(run: Run, words: tuple[str, ...]):
    ran = run(*words)
    assert ran.code == 0
    assert "Begin with toolyard dev" in ran.out
    shown = re.findall(r"^│ ([a-z][a-z-]*) {2,}", ran.out, re.MULTILINE)
    assert set(shown) == set(COMMANDS)
    assert len(ran.out.splitlines()) <= 44


def test_the_version_is_the_one_of_the_package(run: Run):
    assert run("--version").out == f"toolyard {toolyard.__version__}\n"


def test_an_unknown_command_is_wrong_usage_and_the_near_one_is_named(run: Run):
    ran = run("tolls")
    assert ran.code == 2
    assert "tools" in ran.err


@pytest.mark.parametrize(
    ("verb", "meant"),
    [
        ("cancel", "toolyard calls cancel"),
        ("pause", "toolyard tools pause, toolyard schedules pause or toolyard pools pause"),
        ("resume", "toolyard tools resume, toolyard schedules resume or toolyard pools resume"),
        ("revoke", "toolyard keys revoke"),
        ("replay", "toolyard events replay or toolyard dead-letters replay"),
        ("tail", "toolyard events tail"),
    ],
)
def test_a_command_of_a_group_without_its_group_is_named_with_it(run: Run, verb: str, meant: str):
    ran = run(verb, "something")
    assert ran.code == 2
    assert f"No such command '{verb}'. Did you mean {meant}?" in ran.told


GETS = "toolyard calls get, toolyard tools get"


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (("run", "weather"), "toolyard call"),
        (("start",), "toolyard dev"),
        (("status",), "toolyard doctor"),
        (("tools", "show", "weather"), "toolyard tools get"),
        (("tools", "run", "weather"), "toolyard tools test"),
        (("tools", "rm", "weather"), "toolyard tools delete"),
        (("tools", "sync", "folder"), "toolyard tools apply"),
        (("schedules", "get", "often"), "toolyard schedules show"),
        (("keys", "remove", "k1"), "toolyard keys revoke"),
        (("calls", "stop", "c1"), "toolyard calls cancel"),
        (("sync", "folder"), "toolyard tools apply"),
        (
            ("describe", "x"),
            (
                "toolyard calls get, toolyard tools get, toolyard schedules show, toolyard secrets show, "
                "toolyard webhooks show or toolyard dead-letters show"
            ),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "meant",
)
def test_what_other_tools_call_it_names_what_it_is_here(run: Run, words: tuple[str, ...], meant: str):
    ran = run(*words)
    unknown = words[1] if len(words) == 3 else words[0]
    assert ran.code == 2
    assert f"No such command '{unknown}'. Did you mean {meant}?" in ran.told


@pytest.mark.parametrize("words", CLIENT, ids=" ".join)
def test_every_client_command_explains_itself_and_takes_the_same_options(run: Run, words: tuple[str, ...]):
    ran = run(*words, "--help")
    assert ran.code == 0
    for option in ("--url", "--key", "--json"):
        assert option in ran.out


@pytest.mark.parametrize(
    ("words", "arguments"),
    [
        (("calls", "cancel"), "[CALL]"),
        (("tools", "pause"), "[TOOL]"),
        (("tools", "apply"), "{PATH}..."),
        (("tools", "export"), "[TOOL]..."),
    ],
    ids=" ".join,
)
def test_a_usage_line_marks_once_what_may_be_left_out_or_repeated(run: Run, words: tuple[str, ...], arguments: str):
    assert f"toolyard {' '.join(words)} [OPTIONS] {arguments}\n" in re.sub(" +\n", "\n", run(*words, "--help").out)


@pytest.mark.parametrize("words", [("topology", "export"), ("doctor",)], ids=" ".join)
def test_every_other_command_has_json_too(run: Run, words: tuple[str, ...]):
    assert "--json" in run(*words, "--help").out


# ---- service commands ---------------------------------------------------------------------------


def _installed(monkeypatch: pytest.MonkeyPatch, *entries: EntryPoint) -> None:
    def entry_points(*, group: str, name: str) -> list[EntryPoint]:
        return [entry for entry in entries if (entry.group, entry.name) == (group, name)]

    monkeypatch.setattr(services, "entry_points", entry_points)


def _part(monkeypatch: pytest.MonkeyPatch, main: object, name: str = "gateway") -> None:
    """A package that is a part, with this `main`."""
    package, module = types.ModuleType("a_part"), types.ModuleType("a_part.__main__")
    module.main = main  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "a_part", package)
    monkeypatch.setitem(sys.modules, "a_part.__main__", module)
    _installed(monkeypatch, EntryPoint(name, "a_part.__main__:main", services.GROUP))


@pytest.mark.parametrize("returned", [None, 0, 3])
def test_a_part_gets_what_stands_behind_its_name_unread(
    run: Run, monkeypatch: pytest.MonkeyPatch, returned: int | None
):
    seen: list[list[str]] = []

    def main() -> int | None:
        seen.append(sys.argv)
        return returned

    _part(monkeypatch, main, "worker")
    ran = run("worker", "http", "--slots", "4", "--help", "-x", "y")
    assert ran.code == (returned or 0)
    assert seen == [["toolyard worker", "http", "--slots", "4", "--help", "-x", "y"]]


def test_wrong_settings_are_told_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch):
    def main() -> None:
        raise SettingsError("TOOLYARD_PROT is not a setting; did you mean TOOLYARD_PORT?")

    _part(monkeypatch, main)
    ran = run("gateway")
    assert (ran.code, ran.err) == (1, "settings: TOOLYARD_PROT is not a setting; did you mean TOOLYARD_PORT?\n")


def test_a_part_that_is_interrupted_while_it_loads_shows_no_traceback(run: Run, monkeypatch: pytest.MonkeyPatch):
    def main() -> None:
        raise KeyboardInterrupt

    _part(monkeypatch, main)
    assert run("gateway") == (130, "", "")


@pytest.mark.parametrize("service", services.SERVICES, ids=lambda service: service.name)
def test_a_part_that_is_not_installed_names_its_extra(run: Run, monkeypatch: pytest.MonkeyPatch, service):
    _installed(monkeypatch, EntryPoint(service.name, "no_such_package.__main__:main", services.GROUP))
    left_out = run(service.name)
    _installed(monkeypatch)
    unknown = run(service.name)
    for ran in (left_out, unknown):
        assert (ran.code, ran.out) == (1, "")
        assert f"pip install 'toolyard[{service.extra}]'" in ran.err
    assert "'no_such_package' is not installed" in left_out.err


def test_a_defect_in_a_part_is_not_taken_for_a_missing_package(run: Run, monkeypatch: pytest.MonkeyPatch):
    _installed(monkeypatch, EntryPoint("gateway", "toolyard.no_such_module:main", services.GROUP))
    with pytest.raises(ModuleNotFoundError, match=r"toolyard\.no_such_module"):
        run("gateway")


def test_every_part_is_declared_where_the_command_looks_for_it():
    from importlib.metadata import entry_points

    assert {entry.name for entry in entry_points(group=services.GROUP)} == {part.name for part in services.SERVICES}
