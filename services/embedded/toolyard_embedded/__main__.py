"""`toolyard dev`: read the options and settings, and run the whole system in one process."""

import sys
from typing import Annotated

import typer

from toolyard.errors import SettingsError, ToolyardError
from toolyard.telemetry import logs
from toolyard_embedded.settings import read_settings

Host = Annotated[str | None, typer.Option(help="The address to listen on (127.0.0.1).", show_default=False)]
Port = Annotated[
    int | None, typer.Option(min=0, max=65535, help="The port (8080, or the next that is free).", show_default=False)
]
NoUpstream = Annotated[bool, typer.Option("--no-upstream", help="No sample tools, and no upstream for them.")]
AcceptLostKey = Annotated[
    bool, typer.Option("--accept-lost-key", help="Sign anew what the log holds under a signing key that is lost.")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document when ready, for scripts.")]


def main() -> None:
    """Run the command line of this process; the `toolyard` command loads it by entry point."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(dev)
    app(prog_name="toolyard dev")


def dev(
    host: Host = None,
    port: Port = None,
    no_upstream: NoUpstream = False,
    accept_lost_key: AcceptLostKey = False,
    as_json: Json = False,
) -> None:
    """Run gateway, worker and scheduler in one process, without a broker, for development.

    Data stays in .toolyard/ in this folder (TOOLYARD_DATA): the database, the API key, the signing key and the key of
    secrets.
    """
    try:
        settings = read_settings(host, port)
        logs.configure(service="dev", level=settings.log_level, form=settings.log_format)
        from toolyard_embedded import process  # here: --help and wrong settings are told without its libraries

        process.run(settings, with_samples=not no_upstream, accept_lost_key=accept_lost_key, as_json=as_json)
    except SettingsError as error:
        _fail("settings", error)
    except ToolyardError as error:
        _fail(error.code, error)


def _fail(code: str, error: ToolyardError) -> None:
    print(f"toolyard dev: {code}: {error}", file=sys.stderr)
    raise typer.Exit(1) from error


if __name__ == "__main__":
    main()
