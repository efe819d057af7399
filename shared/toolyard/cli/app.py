"""The root of the command: what `toolyard --help` shows, put together from the groups. Knows no group's inside."""

from collections.abc import Callable
from typing import Annotated, Final

import typer

import toolyard
from toolyard.cli import (
    authorizations,
    calls,
    dead_letters,
    doctor,
    events,
    keys,
    logs,
    pools,
    schedules,
    secrets,
    services,
    tools,
    topology,
    webhooks,
)
from toolyard.cli.naming import Root

_ABOUT = """Run the tool calls of LLM applications on worker pools behind RabbitMQ.

Begin with [bold]toolyard dev[/bold]: the whole system in one process, a first call to paste. \
[bold]toolyard demo[/bold] is a tour.
"""
_AFTER = (
    "Client commands ask http://127.0.0.1:8080 unless TOOLYARD_HOST, TOOLYARD_PORT or --url say otherwise, "
    "with the key of --key, TOOLYARD_API_KEY or the data folder (.toolyard/key). "
    "Results go to stdout, messages to stderr; --json gives one JSON document. "
    "Exit codes: 0 done, 1 it failed, 2 wrong usage."
)

USE, RUN, LOOK = "Call tools and look after them", "Run the parts", "See how it is"


_PASSED_ON: Final = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


def build() -> typer.Typer:
    """The whole command line."""
    app = typer.Typer(
        cls=Root,
        help=_ABOUT,
        epilog=_AFTER,
        rich_markup_mode="rich",
        pretty_exceptions_enable=False,  # a defect shows its plain traceback, and no values
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback(invoke_without_command=True)(_root)
    for service in services.SERVICES:
        command = app.command(service.name, help=service.about, rich_help_panel=RUN, context_settings=_PASSED_ON)
        command(_start(service))
    calls.add(app, panel=USE)
    tools.add(app, panel=USE)
    schedules.add(app, panel=USE)
    authorizations.add(app, panel=USE)
    secrets.add(app, panel=USE)
    pools.add(app, panel=USE)
    keys.add(app, panel=USE)
    events.add(app, panel=USE)
    webhooks.add(app, panel=USE)
    dead_letters.add(app, panel=LOOK)
    logs.add(app, panel=LOOK)
    topology.add(app, panel=LOOK)
    doctor.add(app, panel=LOOK)
    return app


def _start(service: services.Service) -> Callable[[typer.Context], None]:
    def run(ctx: typer.Context) -> None:
        raise typer.Exit(services.start(service, ctx.args))

    return run


def _show_version(wanted: bool) -> None:
    if wanted:
        print(f"toolyard {toolyard.__version__}")
        raise typer.Exit


def _root(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    if ctx.invoked_subcommand is None:
        print(ctx.get_help())
