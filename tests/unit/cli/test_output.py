"""What reaches a terminal and what reaches a pipe."""

import os
import pty
import subprocess
import sys

from tests.unit.cli.conftest import Server

PROGRAM = [sys.executable, "-c", "from toolyard.cli import main; main()"]


def test_on_a_terminal_something_moves_while_it_waits_and_stdout_stays_clean(server: Server):
    server.tell("GET", "/v1/tools", {"items": [], "next_cursor": None})
    ours, theirs = pty.openpty()
    words = ("tools", "list", "--url", server.url)
    done = subprocess.run([*PROGRAM, *words], stdout=subprocess.PIPE, stderr=theirs, check=True)
    os.close(theirs)
    shown = b""
    while chunk := _read(ours):
        shown += chunk
    os.close(ours)
    assert b"Asking the gateway" in shown
    assert done.stdout.split() == [b"TOOL", b"VERSION", b"POOL", b"ENABLED", b"DESCRIPTION"]


def test_tables_end_their_lines_with_their_text(server: Server):
    tool = {"name": "t", "version": 1, "binding": {"type": "http"}, "description": "x"}
    server.tell("GET", "/v1/tools", {"items": [tool], "next_cursor": None})
    done = subprocess.run([*PROGRAM, "tools", "list", "--url", server.url], capture_output=True, text=True, check=True)
    assert all(line == line.rstrip() for line in done.stdout.splitlines())


def test_in_a_pipe_nothing_moves(server: Server):
    server.tell("GET", "/v1/tools", {"items": [], "next_cursor": None})
    done = subprocess.run([*PROGRAM, "tools", "list", "--url", server.url], capture_output=True, text=True, check=True)
    assert done.stderr == "There are none.\n"


def test_a_reader_that_leaves_early_causes_no_traceback(server: Server):
    many = [{"name": f"t{n}", "version": 1, "binding": {"type": "http"}, "description": "x" * 200} for n in range(2000)]
    server.tell("GET", "/v1/tools", {"items": many, "next_cursor": None})
    command = subprocess.Popen(
        [*PROGRAM, "tools", "list", "--url", server.url], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    with command:
        assert command.stdout
        assert command.stderr
        command.stdout.readline()
        command.stdout.close()
        assert b"Traceback" not in command.stderr.read()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # Linux says so when the other side is closed
        return b""
