"""A worker with a jail, as a process of its own in some standing: ``python -m tests.support.jail.yard <children>``.

It reads one JSON object a line, what to run; it answers with one a line, what became of it. Its environment and its
memory hold a secret that no guest may ever see. `Yard` is the test's end.
"""

import asyncio
import base64
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from tests.support import leash
from tests.support.waiting import wait_until

from toolyard.errors import SettingsError
from toolyard.sandbox.jail.jail import Isolation, Jail, Level, Limits, Verdict

#: In the worker's environment, and in every payload before the hostile one.
SECRET = "do-not-" + "tell-4711"
GUESTS = str(Path(__file__).resolve().parent)
_REPOSITORY = Path(__file__).resolve().parents[3]
_STANDINGS = {
    "as_we_are": ("-", "-"),
    "nobody": ("nobody", "-"),
    "container": ("nobody" if os.geteuid() == 0 else "-", "container"),
    "without_landlock": ("-", "without_landlock"),
    "without_seccomp": ("-", "without_seccomp"),
}
#: Every standing that this user can put a worker in.
STANDINGS = ("as_we_are", "nobody", "container") if os.geteuid() == 0 else ("as_we_are", "container")


def in_standing(standing: str, command: Sequence[str]) -> list[str]:
    """The command line that puts this one into a standing."""
    user, profile = _STANDINGS[standing]
    return [sys.executable, "-m", "tests.support.jail.standing", user, profile, *command]


class After(msgspec.Struct, frozen=True):
    """The worker after a run: its descriptors, and the processes that descend from it."""

    verdict: Verdict
    descriptors: int
    processes: int


class Yard:
    """A started worker. Use it as a context manager: nothing is left behind.

    Args:
        standing: one of `_STANDINGS`.
        minimum: the level that it asks for.
    """

    def __init__(self, standing: str, *, minimum: Level = Level.DEGRADED, children: int = 2) -> None:
        own = [sys.executable, "-m", "tests.support.jail.yard", str(children), minimum]
        self._process = subprocess.Popen(
            in_standing(standing, own),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=_REPOSITORY,
            env={**os.environ, "WORKERS_SECRET": SECRET, "PYTHONDONTWRITEBYTECODE": "1"},
            start_new_session=True,
        )
        leash.hold(self._process.pid)
        try:
            first = self._read()
        except BaseException:
            self.close()
            raise
        self.refusal: str | None = first.get("refusal")
        self.isolation = None if self.refusal else msgspec.convert(first, Isolation)

    def run(self, source: str, *, answers: bool = False, limits: Mapping[str, float] | None = None) -> After:
        """Runs a source in the raw guest; `answers` lets it ask, and gives back what it asked."""
        assert self._process.stdin is not None
        order = {"source": source, "answers": answers, "limits": dict(limits or {})}
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        said = self._read()
        said["verdict"]["body"] = base64.b64decode(said["verdict"]["body"])
        return msgspec.convert(said, After)

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"the worker ended with {self._process.wait(10)}"
        said: dict[str, Any] = json.loads(line)
        return said

    def close(self) -> None:
        """Ends it; what it started must end with it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        family = leash.members(self._process.pid)
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()
        leash.release(self._process.pid)
        wait_until(lambda: not any(map(leash.alive, family)), within=60, what=f"no one of {family} is left")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self.close()


# ---- the worker ---------------------------------------------------------------------------------


async def _work(children: int, minimum: Level) -> None:
    jail = Jail("raw_guest", children=children, minimum=minimum, memory=1 << 40, folders=[GUESTS])
    try:
        found = await jail.start()
    except SettingsError as error:
        _say({"refusal": str(error)})
        return
    _say(msgspec.to_builtins(found))
    loop = asyncio.get_running_loop()
    kept: list[bytes] = []
    try:
        while line := await loop.run_in_executor(None, sys.stdin.buffer.readline):
            order = json.loads(line)
            kept.append(f"secret = '{SECRET}'".encode())  # the payload of the run before
            await jail.run("run", kept[-1], limits=Limits())
            limits = msgspec.convert(order["limits"], Limits, strict=False)
            answer = _give_back if order["answers"] else None
            verdict = await jail.run("run", order["source"].encode(), limits=limits, answer=answer)
            _say(msgspec.to_builtins(_after(verdict)))
    finally:
        await jail.stop()


def _after(verdict: Verdict) -> After:
    return After(verdict, len(list(Path("/proc/self/fd").iterdir())), len(leash.members(os.getpid())))


async def _give_back(question: bytes) -> bytes:
    return question


def _say(what: object) -> None:
    sys.stdout.buffer.write(json.dumps(what).encode() + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    asyncio.run(_work(int(sys.argv[1]), Level(sys.argv[2])))
