"""`toolyard gateway`: read the settings, and serve until a signal comes."""

import argparse
import sys

import uvloop

from toolyard.errors import ToolyardError
from toolyard.telemetry import logs
from toolyard_gateway.settings import read_settings


def main() -> int:
    """Run a gateway; the exit code."""
    argparse.ArgumentParser(
        prog="toolyard gateway",
        description="Take calls over HTTP and answer them, until SIGTERM. Settings come from the environment: "
        "TOOLYARD_TRANSPORT_URL names the broker; docs/reference/settings.md has them all.",
    ).parse_args()
    try:
        settings = read_settings()
        logs.configure(service="gateway", level=settings.log_level, form=settings.log_format)
        from toolyard_gateway.process import serve  # here: --help and wrong settings are told without its libraries

        uvloop.run(serve(settings))
    except ToolyardError as error:
        print(f"toolyard gateway: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
