"""The `toolyard` command: one file a group, over `toolyard.client`; service commands are loaded by entry point."""

import sys

from toolyard import process
from toolyard.cli import services


def main() -> None:
    """Run the command line of this process. The console script calls it."""
    process.begin()
    for number, word in enumerate(sys.argv):
        if not _is_text(word):
            sys.stderr.write(f"Error: word {number} of the command line is not UTF-8 text.\n")
            sys.exit(2)
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command in services.NAMED:
        sys.exit(services.start(services.NAMED[command], sys.argv[2:]))
    from toolyard.cli.app import build  # here, because a part needs no client, and starts sooner without one

    build()(prog_name="toolyard")


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
