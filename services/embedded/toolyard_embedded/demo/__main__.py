"""`toolyard demo`: read the options, walk, and give the exit code."""

import signal
from typing import Annotated, Final

import typer

from toolyard.cli.output import Output
from toolyard.errors import ToolyardError

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document a step, each on a line, for scripts.")]
#: The exit code of what Ctrl-C has ended, as shells give it.
_INTERRUPTED: Final = 130


def main() -> None:
    """Run the command line of this process; the `toolyard` command loads it by entry point."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(demo)
    app(prog_name="toolyard demo")


def demo(as_json: Json = False) -> None:
    """Walk through calls of each pool, a turn, a failing tool and a timeout, on a system that is gone afterwards.

    The whole system runs in this process, on free ports and in a temporary folder; settings of the environment and the
    folder .toolyard/ do not count. Exit code 0: everything came as it should; 1: something did not, and the reason is
    told.
    """
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # there is nothing yet to leave behind, and imports hide Ctrl-C
    from toolyard_embedded.demo import process  # here: --help is told without its libraries
    from toolyard_embedded.demo.asking import Unlike

    out = Output(as_json=as_json)
    try:
        finished = process.run(out)
    except Unlike as unlike:
        out.problem("demo_failed", str(unlike))
        raise typer.Exit(1) from None
    except ToolyardError as error:
        out.problem(error.code, str(error))
        raise typer.Exit(1) from None
    if not finished:
        out.say("Stopped before its end; nothing is left behind.")
        raise typer.Exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
