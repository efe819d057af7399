"""Real processes for tests: start a command, follow its output, wait for it, stop it, kill it, freeze it.

Used by the private nodes and by tests of the real commands. It knows nothing of what the commands do.
"""

import contextlib
import errno
import http.client
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support import leash
from tests.support.waiting import wait_until

PORTS = range(15_000, 29_000)  # below the range from which the kernel takes ports for outgoing connections
TAIL = 80
#: Seconds that a process is given where a test says nothing else: it may start on a busy machine.
WITHIN = 60.0
PORT_TAKEN = re.compile(r"in use|eaddrinuse", re.IGNORECASE)


class ProcessError(AssertionError):
    """A process did not do what the test waited for; the message ends with the last lines of its output."""

    @property
    def port_was_taken(self) -> bool:
        """Whether the process ended because somebody else listened on its port: another port may do."""
        return PORT_TAKEN.search(str(self)) is not None


class ServerMissingError(RuntimeError):
    """A server's programs are not on this machine; the message is one line that says what to install."""


class Process:
    """One started command and all that it starts. Use it as a context manager: nothing is left behind.

    Args:
        args: The command line, not a shell's.
        env: Variables set on top of this process's own; `None` removes one.
        cwd: The folder to start in.
        log: The file for standard output and error together; a temporary one if not given.
        inherit: False starts from an empty environment.
        identity: Popen's `user`, `group` and `extra_groups`.
    """

    def __init__(
        self,
        args: Sequence[str | os.PathLike[str]],
        *,
        env: Mapping[str, str | None] | None = None,
        cwd: Path | None = None,
        log: Path | None = None,
        inherit: bool = True,
        identity: Mapping[str, Any] | None = None,
    ) -> None:
        self.args = [os.fspath(arg) for arg in args]
        self._own_log = log is None
        self.log = log or _temporary_log()
        variables = {**(os.environ if inherit else {}), **(env or {})}
        with self.log.open("ab") as output:
            self._popen = subprocess.Popen(
                self.args,
                env={name: value for name, value in variables.items() if value is not None},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **(identity or {}),
            )
        leash.hold(self.pid)
        self._held = True

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative when a signal ended it."""
        return self._popen.poll()

    @property
    def running(self) -> bool:
        return self.exit_code is None

    def output(self) -> str:
        return self.log.read_text(errors="replace")

    def tail(self, lines: int = TAIL) -> str:
        return "\n".join([line for line in self.output().splitlines() if line.strip()][-lines:])

    def wait_for(self, check: Callable[[], Any], *, what: str, within: float = WITHIN) -> Any:
        """Returns the first true answer of `check`; fails as soon as the process ends."""

        def look() -> Any:
            alive = self.running
            answer = check()
            if not answer and not alive:
                raise ProcessError(self._report(f"ended with {self.exit_code} while the test waited for {what}"))
            return answer

        try:
            return wait_until(look, within=within, what=what)
        except TimeoutError as error:
            raise ProcessError(self._report(str(error))) from None

    def wait_for_line(self, pattern: str, *, within: float = WITHIN) -> re.Match[str]:
        """Waits until a line of the output matches (searched, not anchored)."""
        expression = re.compile(pattern, re.MULTILINE)
        found: re.Match[str] = self.wait_for(
            lambda: expression.search(self.output()), what=f"a line that matches {pattern!r}", within=within
        )
        return found

    def wait_for_http(self, url: str, *, status: int | None = None, within: float = WITHIN) -> int:
        """Waits until `url` answers with `status`, or with anything below 500 if none is named."""
        seen: list[int] = []

        def look() -> bool:
            answer = http_status(url)
            seen[:] = [answer]
            return answer == status if status else 0 < answer < 500

        try:
            self.wait_for(look, what=f"{url} to answer {status or 'below 500'}", within=within)
        except ProcessError as error:
            raise ProcessError(f"last HTTP status {seen[0] or 'none'}; {error}") from None
        return seen[0]

    def wait(self, *, within: float = WITHIN) -> int:
        """Waits for its end and returns the exit code; what it started may still run."""
        try:
            return self._popen.wait(timeout=within)
        except subprocess.TimeoutExpired:
            raise ProcessError(self._report(f"did not end within {within:g} s")) from None

    def terminate(self, *, within: float = WITHIN) -> int:
        """Asks it to end (SIGTERM to it alone, as a supervisor does) and returns the exit code.

        Raises:
            ProcessError: it did not end in time; it has then been killed.
        """
        return self.end_by(signal.SIGTERM, within=within)

    def end_by(self, number: signal.Signals, *, within: float = WITHIN) -> int:
        """Like `terminate`, by another signal."""
        self.resume()
        if self.running:
            self.send(number)
        try:
            return self.wait(within=within)
        finally:
            self.kill()

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to the process alone."""
        self._popen.send_signal(number)

    def kill(self) -> None:
        """Kills (SIGKILL) it and all that it started; returns when they are dead. Harmless after its end."""
        if not self._held:
            return
        leash.kill_all(self.pid)
        self._popen.wait()
        self._held = False
        leash.release(self.pid)

    def suspend(self) -> None:
        """Freezes (SIGSTOP) it and all that it started: it holds its connections and answers nothing."""
        leash.freeze(self.pid)

    def resume(self) -> None:
        leash.thaw(self.pid)

    @contextlib.contextmanager
    def suspended(self) -> Iterator[None]:
        """Frozen inside the `with`, and going on after it whatever happened."""
        self.suspend()
        try:
            yield
        finally:
            self.resume()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        try:
            if kind is None and self.running:
                self.terminate()
        finally:
            self.kill()
            if error is not None and not isinstance(error, ProcessError):
                error.add_note(self._report("was running when the test failed"))
            if self._own_log:
                self.log.unlink(missing_ok=True)

    def _report(self, what: str) -> str:
        return f"{' '.join(self.args)!r} {what}; its last output:\n{self.tail()}"


def python_module(name: str, *args: str) -> list[str]:
    """The command line that runs a module of the project with this interpreter."""
    return [sys.executable, "-m", name, *args]


def console_script(name: str, *args: str) -> list[str]:
    """The command line of a console script installed beside this interpreter, such as `toolyard`."""
    return [str(Path(sys.executable).with_name(name)), *args]


def http_status(url: str, *, timeout: float = 5) -> int:
    """The status of one GET, 0 when nothing answers. Proxies of the environment are not used."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "127.0.0.1", parts.port or 80, timeout=timeout)
    try:
        connection.request("GET", f"{parts.path or '/'}?{parts.query}")
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return 0
    else:
        return response.status
    finally:
        connection.close()


def free_port() -> int:
    """A port on which nobody listens, and which no other test run on this machine is given while this one lasts."""
    for port in random.sample(PORTS, len(PORTS)):
        if _reserve(port):
            return port
    raise RuntimeError(f"no free port between {PORTS.start} and {PORTS.stop}")


def _reserve(port: int) -> bool:
    """Takes the port's name in the kernel's abstract socket names, which the end of this process gives back."""
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        mark.bind(f"\0toolyard-test-port-{port}")
        with socket.socket() as probe:
            probe.bind(("0.0.0.0", port))  # all addresses: nobody may hold it on any
    except OSError as error:
        mark.close()
        if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
            raise
        return False
    mark.detach()
    return True


def _temporary_log() -> Path:
    handle, name = tempfile.mkstemp(prefix="toolyard-", suffix=".log")
    os.close(handle)
    return Path(name)
