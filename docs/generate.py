"""Writes what is made of the code: parts of these pages (settings, codes, states, topology, commands), and whole files.

Parts stand between markers; `python docs/generate.py` brings all up to date, and a test compares.
"""  # noqa: INP001 - a folder of pages, not a package

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import typer

from toolyard import settings, states
from toolyard.cli.app import build
from toolyard.cli.session import PANEL
from toolyard.contracts import schemas, tools
from toolyard.errors import CODES
from toolyard.telemetry import catalogue
from toolyard.transport import topology

HERE: Final = Path(__file__).parent
_BEGIN: Final = "<!-- made of the code: {name} (python docs/generate.py) -->"
_END: Final = "<!-- end of {name} -->"


# ---- the parts ----------------------------------------------------------------------------------


def settings_table() -> str:
    """Every variable, with what it is for."""
    free = {
        "TOOLYARD_SECRET_<NAME>": "the value of the secret NAME, for the org `default`",
        "TOOLYARD_TEST_AMQP_URL": "the broker that the project's own tests use",
        "TOOLYARD_TEST_DATABASE_URL": "the database that the project's own tests use",
    }
    rows = ((f"`{name}`", purpose) for name, purpose in {**settings.KNOWN, **free}.items())
    return table(("variable", "what it is for"), rows)


def codes_table() -> str:
    """Every code: its status, who may try again, and what a model is told."""
    who = {"never": "nobody", "by_us": "Toolyard", "by_caller": "the caller"}
    rows = (
        (f"`{name}`", code.status, code.title, who[code.retry], code.model.replace("{detail}", "…"))
        for name, code in CODES.items()
    )
    return table(("code", "status", "in words", "may try again", "what the model is told"), rows)


def states_picture() -> str:
    """The table of states as a Mermaid diagram; parked and terminal states are drawn as two groups."""
    groups = {"parked": _in_order(states.PARKED), "ended": _in_order(states.TERMINAL)}
    lines = ["stateDiagram-v2", "    [*] --> accepted"]
    for name, members in groups.items():
        lines += [f"    state {name} {{", *(f"        {member}" for member in members), "    }"]
    grouped = {member: name for name, members in groups.items() for member in members}
    for source in states.STATES:
        lines += [f"    {arrow}" for arrow in _arrows(source, grouped, groups)]
    return "\n".join(["```mermaid", *lines, "```"])


def states_table() -> str:
    """Every state and what may follow it."""
    rows = (
        (f"`{source}`", ", ".join(f"`{state}`" for state in _in_order(states.MOVES[source])) or "nothing: it is final")
        for source in states.STATES
    )
    return table(("state", "may be followed by"), rows)


def exchanges_table() -> str:
    """The exchanges."""
    return table(("exchange", "kind"), ((f"`{name}`", "topic, durable") for name in topology.EXCHANGES))


def queues_table() -> str:
    """The shared queues: arguments and bindings."""
    return table(("queue", "arguments", "bound to"), (_queue_row(queue) for queue in topology.QUEUES))


def own_queues_table() -> str:
    """The queues that a process declares for itself."""
    example = {
        topology.reply_queue("<gateway>"): topology.reply_bindings("<gateway>"),
        topology.live_queue("<gateway>"): topology.live_bindings("<gateway>"),
        topology.worker_queue("<pool>", "<worker>"): topology.worker_bindings("<pool>", "<worker>"),
    }
    rows = ((f"`{name}`", _bindings(bindings)) for name, bindings in example.items())
    return table(("queue", "bound to"), rows)


def commands() -> str:
    """Every command: what it does, its arguments and its options."""
    root: Any = typer.main.get_command(build())
    return "\n\n".join(_command(path, command) for path, command in _walk(root, "toolyard"))


def operations() -> str:
    """Every operation of the gateway's HTTP API."""
    from toolyard_gateway.app import GROUPS  # here: only this part needs the gateway

    routes: list[Any] = [route for group in GROUPS for route in group.router.routes]
    rows = (
        (f"`{method} {route.path}`", (route.description or "").partition("\n")[0])
        for route in routes
        for method in sorted(route.methods)
    )
    return table(("operation", "what it does"), rows)


def metrics_table() -> str:
    """Every metric: its kind, its labels, what it says, and which parts show it."""
    rows = (
        (f"`{metric.name}`", metric.kind, _listed(metric.labels), metric.meaning, ", ".join(metric.parts))
        for metric in catalogue.ALL
    )
    return table(("metric", "kind", "labels", "what it says", "shown by"), rows)


def events_table() -> str:
    """Every lifecycle event, with its JSON Schemas."""
    rows = (
        (
            f"`{event}`",
            schemas.TOLD[event].about,
            ", ".join(f"`{state}`" for state in schemas.TOLD[event].states),
            f"[event](schemas/{schemas.event_type(event)}.json), [data](schemas/{schemas.event_type(event)}.data.json)",
        )
        for event in schemas.events()
    )
    return table(("event", "what happened", "state behind it", "JSON Schema"), rows)


def sandbox_modules() -> str:
    """The modules that sandboxed tools can import, with their members."""
    from toolyard.sandbox.language import catalogue as language  # here: only these parts need RestrictedPython

    return table(
        ("module", "what it has"), ((f"`{module}`", _listed(members)) for module, members in language.modules())
    )


def sandbox_built_ins() -> str:
    """The built-in names of sandboxed tools."""
    from toolyard.sandbox.language import catalogue as language

    return _listed(language.built_ins())


def sandbox_missing() -> str:
    """The built-in names that sandboxed tools do not have."""
    from toolyard.sandbox.language import catalogue as language

    return table(("not there", "instead"), ((f"`{name}`", instead) for name, instead in language.missing()))


def sandbox_methods() -> str:
    """Python's own methods that classes of sandboxed tools may define."""
    from toolyard.sandbox.language import catalogue as language

    return _listed(language.methods())


#: Lines as authors write them, each of which is refused.
_REFUSED: Final = (
    "import pandas",
    "import requests",
    "import httpx",
    "import pathlib",
    "import sqlite3",
    "import subprocess",
    "import threading",
    "import asyncio",
    "import sys",
    "import pickle",
    "import pytz",
    "import datatime",
    "from os import path",
    "from uuid import uuid1",
    "from math import *",
    "from . import prices",
    "json.loads('[]')",
    "print(sortd([2, 1]))",
    "kinds = int.__subclasses__()",
    "async def fetch(): pass",
    "class Price(metaclass=type): pass",
)


def sandbox_refusals() -> str:
    """What authors of sandboxed tools are told about some lines: said by the check itself."""
    from toolyard.sandbox.language.checking import check

    entry = "def execute_tool(parameters, context): pass"
    told = ((line, check(f"{line}\n{entry}").problems[0].message) for line in _REFUSED)
    return table(("the line", "what is told"), ((f"`{line}`", message) for line, message in told))


def sandbox_walls() -> str:
    """What the fork server has tried of each wall, how far one comes without it, and what to do."""
    from toolyard.sandbox.jail import attempts, levels, syscalls

    tried = {
        "limits": attempts.LIMITED,
        "privileges": attempts.UNPRIVILEGED,
        "seccomp": (*attempts.LOCKED, *attempts.deadly(syscalls.X86_64)),
        "landlock": attempts.LANDLOCKED,
        "namespaces": attempts.ELSEWHERE,
    }
    rows = ((f"`{wall}`", ", ".join(each.name for each in tried[wall]), *_without(wall)) for wall in levels.WALLS)
    return table(("wall", "a locked child cannot", "the level without it", "what to do"), rows)


#: Limit of a sandboxed tool -> what it bounds, its unit, and what stands for it where nobody says.
_LIMITS: Final[dict[str, tuple[str, str, int | str]]] = {
    "execution_timeout": ("how long it runs, whatever it waits for", "s", "the tool's `timeout`"),
    "memory_limit_mb": ("memory, beyond what its process has before it runs", "MiB", tools.MEMORY_LIMIT),
    "output_limit_kb": ("what it returns, as JSON", "KiB", tools.OUTPUT_LIMIT),
    "print_limit_kb": ("what is kept of what it prints", "KiB", tools.PRINT_LIMIT),
    "request_limit": ("how often it asks others", "requests", tools.REQUEST_LIMIT),
}


def sandbox_limits() -> str:
    """The limits of a sandboxed tool: what is taken where nothing is said, and what can be asked for."""
    from toolyard_gateway.api.tool_models import SandboxBindingModel  # here: only this part needs the gateway's models

    fields: dict[str, Any] = SandboxBindingModel.model_json_schema()["properties"]
    rows = (
        (f"`{name}`", what, *_bounds(fields[name]["anyOf"][0], unit, usual))
        for name, (what, unit, usual) in _LIMITS.items()
    )
    return table(("field", "what it bounds", "unless you say", "at least", "at most"), rows)


def lambda_refusals() -> str:
    """What Lambda refuses, and what follows from it."""
    from toolyard_executors.kinds.aws_lambda.refusals import REFUSALS  # here: only this part needs the executors

    kinds = dict.fromkeys(REFUSALS.values())
    rows = (
        (
            _listed(name for name, refusal in REFUSALS.items() if refusal == kind),
            f"`{kind.code}`",
            "yes" if kind.retryable else "no",
            f"`{kind.effect}`",
        )
        for kind in kinds
    )
    return table(("AWS says", "code", "`retryable`", "effect"), rows)


def arcade_failures() -> str:
    """How a tool of Arcade fails, and what follows from it."""
    from toolyard_executors.kinds.arcade.failures import KINDS  # here: only this part needs the executors

    kinds = dict.fromkeys(KINDS.values())
    rows = (
        (
            _listed(name for name, failure in KINDS.items() if failure == kind),
            f"`{kind.code}`",
            "yes" if kind.retryable else "no",
            f"`{kind.effect}`",
        )
        for kind in kinds
    )
    return table(("the tool says", "code", "`retryable`, where it does not say", "effect"), rows)


PARTS: Final[dict[str, Callable[[], str]]] = {
    "settings": settings_table,
    "codes": codes_table,
    "states as a picture": states_picture,
    "states as a table": states_table,
    "exchanges": exchanges_table,
    "queues": queues_table,
    "own queues": own_queues_table,
    "commands": commands,
    "operations": operations,
    "metrics": metrics_table,
    "events": events_table,
    "sandbox modules": sandbox_modules,
    "sandbox built-ins": sandbox_built_ins,
    "sandbox missing": sandbox_missing,
    "sandbox methods": sandbox_methods,
    "sandbox refusals": sandbox_refusals,
    "sandbox limits": sandbox_limits,
    "sandbox walls": sandbox_walls,
    "lambda refusals": lambda_refusals,
    "arcade failures": arcade_failures,
}


# ---- their pieces -------------------------------------------------------------------------------


def table(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table in Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in line) + " |" for line in lines)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _without(wall: str) -> tuple[str, str]:
    """The level that is reached without this wall, and what is told where all are asked for."""
    from toolyard.sandbox.jail import levels

    found = levels.isolation({wall: "missing"}, {}, 0)
    told = levels.refusal(found, levels.Level.FULL) or ""
    return f"`{found.level}`", told.rpartition(f"{wall}: missing. ")[2]


def _bounds(field: dict[str, Any], unit: str, usual: int | str) -> Iterator[str]:
    """The usual value, the least and the most of a field of a JSON Schema."""
    yield usual if isinstance(usual, str) else f"{usual:,} {unit}"
    yield f"{field['minimum']:,} {unit}" if "minimum" in field else f"more than {field['exclusiveMinimum']} {unit}"
    yield f"{field['maximum']:,} {unit}"


def _in_order(chosen: Iterable[str]) -> list[str]:
    return [state for state in states.STATES if state in set(chosen)]


def _arrows(source: states.State, grouped: dict[str, str], groups: dict[str, list[str]]) -> Iterator[str]:
    reached = _in_order(states.MOVES[source])
    yield from (f"{source} --> {state}" for state in reached if state not in grouped)
    for name, members in groups.items():
        inside = [state for state in reached if grouped.get(state) == name]
        missing = [state for state in members if state not in inside]
        if inside and not missing:
            yield f"{source} --> {name}"
        elif len(inside) > len(missing) > 0:
            yield f"{source} --> {name}: but not {', '.join(missing)}"
        elif inside:
            yield f"{source} --> {name}: {', '.join(inside)}"


def _queue_row(queue: topology.Queue) -> tuple[str, str, str]:
    arguments = "<br>".join(f"`{name}` = `{value or 'empty'}`" for name, value in queue.arguments.items())
    return (
        f"`{queue.name}`",
        arguments,
        _bindings(queue.bindings) or "nothing: reached by its name, or as a dead letter",
    )


def _bindings(bindings: Iterable[tuple[str, str]]) -> str:
    return "<br>".join(f"`{exchange}`: `{pattern}`" for exchange, pattern in bindings)


def _walk(command: Any, path: str) -> Iterator[tuple[str, Any]]:
    inner = getattr(command, "commands", None)
    if inner is None:
        yield path, command
        return
    for name, child in inner.items():
        yield from _walk(child, f"{path} {name}")


def _command(path: str, command: Any) -> str:
    shown = [param for param in command.params if getattr(param, "rich_help_panel", None) != PANEL]
    words = [_word(param) for param in shown if param.param_type_name == "argument"]
    passed_on = ["[OPTIONS OF THAT PART]"] if command.context_settings.get("ignore_unknown_options") else []
    told = " ".join((command.help or "").replace("[bold]", "`").replace("[/bold]", "`").split())
    parts = [f"### {' '.join([path, *words, *passed_on])}", told]
    if shown:
        parts.append("\n".join(f"- `{_name(param)}`: {param.help}{_default(param)}" for param in shown))
    return "\n\n".join(parts)


def _word(param: Any) -> str:
    word = f"{param.metavar}..." if param.nargs == -1 else str(param.metavar)
    return word if param.required else f"[{word}]"


def _name(param: Any) -> str:
    if param.param_type_name == "argument":
        return str(param.metavar)
    value = "" if param.is_flag else f" {param.metavar or param.name.upper()}"
    return ", ".join(param.opts) + value


def _default(param: Any) -> str:
    default = getattr(param.default, "value", param.default)
    return "" if default in (None, False, ()) or callable(default) or param.is_eager else f" Default: `{default}`."


# ---- whole files --------------------------------------------------------------------------------


def files() -> dict[Path, Any]:
    """Every file that is made as a whole: a JSON document each."""
    from toolyard_gateway.api import asyncapi  # here: only this file needs the gateway

    folder, made = HERE / "reference" / "schemas", {}
    for event in schemas.events():
        made[folder / f"{schemas.event_type(event)}.json"] = schemas.event_schema(event)
        made[folder / f"{schemas.event_type(event)}.data.json"] = schemas.data_schema(event)
    made[folder / f"{schemas.BREAKER}.data.json"] = schemas.breaker_data_schema()
    return {**made, HERE / "reference" / "asyncapi.json": asyncapi.document(version("toolyard"))}


def written(document: Any) -> str:
    """A JSON document as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


# ---- into the pages -----------------------------------------------------------------------------


def renewed(page: str) -> str:
    """The page with its made parts as the code has them today.

    Raises:
        ValueError: a part is begun and never ended.
    """
    for name, make in PARTS.items():
        begin, end = _BEGIN.format(name=name), _END.format(name=name)
        before, found, rest = page.partition(begin)
        if found:
            _, closed, after = rest.partition(end)
            if not closed:
                raise ValueError(f"{end} is missing")
            page = f"{before}{begin}\n\n{make()}\n\n{end}{after}"
    return page


def pages() -> list[Path]:
    """Every page."""
    return sorted(HERE.rglob("*.md"))


def main() -> None:
    """Bring all pages and files up to date."""
    for page in pages():
        _renew(page, renewed(page.read_text()))
    for path, document in files().items():
        path.parent.mkdir(exist_ok=True)
        _renew(path, written(document))


def _renew(path: Path, text: str) -> None:
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        sys.stdout.write(f"renewed: {path.relative_to(HERE)}\n")


if __name__ == "__main__":
    main()
