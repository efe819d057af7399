"""The two halves joined: tools are looked at, and run, in jailed processes that carry the language of tools.

Used by whoever has sources to check (the gateway) or calls to run (an executor). It knows the jail; the language it
knows by name alone, because that is loaded in children and nowhere else. `telling` judges what a child says.
"""

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec
from msgspec import Struct

from toolyard.sandbox.jail.conversation import Answer
from toolyard.sandbox.jail.jail import Isolation, Jail, Level, Limits, NoPlace, ServerLost, Verdict
from toolyard.sandbox.telling import Checked, Problem, Step, Told, Untrue, checked_of, room_for, step_of, told_of

__all__ = [
    "Answer",
    "Checked",
    "Isolation",
    "Job",
    "Level",
    "Limits",
    "NoPlace",
    "Problem",
    "Runner",
    "ServerLost",
    "Step",
    "Told",
    "Verdict",
]

#: The module that a child runs.
GUEST: Final = "toolyard.sandbox.language.guest"
_LENGTH: Final = 4
_MIB: Final = 1 << 20
#: What looking at one source may take. Its answer is the code, or a hundred problems.
_CHECK: Final = Limits(wall=10.0, cpu=5.0, memory=128 * _MIB, output=8 * _MIB, requests=0)


class Job(Struct, frozen=True, kw_only=True):
    """What a tool is run with.

    Attributes:
        parameters: its first argument; ``context``: its second.
        environment: name -> value, of the variables that this tool gets.
        allowed_imports: the modules that it may import; None for all but `requests`.
        prints: bytes that are kept of what it prints.
        output: bytes of the JSON text of its value.
        requests: how many it may make.
    """

    parameters: dict[str, Any]
    context: dict[str, Any]
    environment: dict[str, str] = {}
    allowed_imports: tuple[str, ...] | None = None
    prints: int = 64 << 10
    output: int = _MIB
    requests: int = 10


class Runner:
    """Checks and runs tools in locked processes.

    Args:
        children: checks and runs at the same time.
        memory: bytes that the memory limits of these may add up to.
        minimum: the worst isolation at which it may start.
        guest: the module that runs in the children, and ``folders``: where it is, if not where Python looks anyway.
            Of tests, for guests that are hostile.
    """

    def __init__(
        self,
        *,
        children: int,
        memory: int,
        minimum: Level = Level.CONTAINER,
        guest: str = GUEST,
        folders: Sequence[str] = (),
    ) -> None:
        self._jail = Jail(guest, children=children, memory=memory, minimum=minimum, folders=folders)
        self._starting = asyncio.Lock()
        self.memory = memory
        self.minimum = minimum
        self.runs = 0
        """Checks and runs so far, however they ended."""

    @property
    def isolation(self) -> Isolation | None:
        """What stands between a tool and the machine; None before the start, and after the end."""
        return self._jail.isolation

    @property
    def servers(self) -> int:
        """Fork servers that were started so far."""
        return self._jail.servers

    @property
    def trouble(self) -> str:
        """Why nothing can be run, and not for a moment only; empty where all is well."""
        return self._jail.trouble

    async def start(self) -> Isolation:
        """Start the processes, if they do not run yet; returns what stands between a tool and the machine.

        Raises:
            SettingsError: less than ``minimum``, or too few descriptors for the children; says what to do.
            ServerLost: they did not come up.
        """
        async with self._starting:
            return self.isolation or await self._jail.start()

    async def stop(self) -> None:
        """End everything, at once."""
        await self._jail.stop()

    async def check(self, source: str, allowed_imports: Sequence[str] | None) -> Checked:
        """Look at a source, and compile it, in a jailed process; nothing of it is run.

        Args:
            source: what the author wrote.
            allowed_imports: the modules that the tool may import; None for all but `requests`.

        Raises:
            ServerLost: nobody could look at it; that says nothing about the source.
        """
        listed = None if allowed_imports is None else list(allowed_imports)
        try:
            payload = msgspec.json.encode({"source": source, "allowed_imports": listed})
        except UnicodeEncodeError:
            return _refused("it has half of a surrogate pair in its text: write it as \\ud83d, or write the character")
        self.runs += 1
        verdict = await self._jail.run("check", payload, limits=_CHECK)
        if verdict.how == "lost":
            raise ServerLost(f"the code could not be looked at: {verdict.reason}")
        if verdict.how != "answered":
            return _refused(_WHY_UNCHECKED[verdict.how])
        try:
            return checked_of(verdict.body)
        except Untrue:
            return _refused(_WHY_UNCHECKED["broke_protocol"])

    async def run(
        self,
        code: bytes,
        job: Job,
        limits: Limits,
        answer: Answer | None = None,
        hear: Callable[[Step], None] = lambda _: None,
    ) -> tuple[Verdict, Told | None]:
        """Run the code of a tool in a jailed process; cancelling kills it.

        Args:
            code: from `check`.
            job: what the tool gets, and the limits that its own process keeps.
            limits: what the process may use. Its ``output`` and ``requests`` follow from the job.
            answer: answers its requests; without it there can be none.
            hear: is told how far it has come, whenever it says so.

        Returns:
            How it ended and, where it was answered, what was said. An answer that no honest process gives is none: the
            verdict on it is ``broke_protocol``.

        Raises:
            ValueError: its memory limit is more than `memory`.
            ServerLost: the tool was not run; `NoPlace` where others took its place for too long.
            Exception: what ``answer`` raised. `Untrue` is none: the verdict is ``broke_protocol``.
        """
        limits = msgspec.structs.replace(limits, output=room_for(job.output, job.prints), requests=job.requests)
        self.runs += 1
        verdict = await self._jail.run(
            "run", _payload(code, job, limits), limits=limits, answer=answer, hear=lambda word: hear(step_of(word))
        )
        if verdict.how != "answered":
            return verdict, None
        try:
            return verdict, told_of(verdict.body, output=job.output, prints=job.prints)
        except Untrue as untrue:
            return msgspec.structs.replace(verdict, how="broke_protocol", body=b"", reason=str(untrue)), None


#: What is told of a source whose check came to no end.
_WHY_UNCHECKED: Final = {
    "timed_out": f"it takes longer than {_CHECK.wall:g} s to look at: make it simpler, or split it into several tools",
    "out_of_memory": f"it takes more than {_CHECK.memory // _MIB} MiB to look at: make it simpler, or split it into "
    "several tools",
    "too_much_output": "what is made of it is too large: make it simpler, or split it into several tools",
    "crashed": "the process that looked at it died of it: make it simpler",
    "broke_protocol": "the process that looked at it was led astray: make it simpler",
}


def _refused(message: str) -> Checked:
    return Checked((Problem(0, 0, message),), None)


def _payload(code: bytes, job: Job, limits: Limits) -> bytes:
    """The operation's payload; Python's own writer keeps numbers of any size."""
    kept = {"prints": job.prints, "output": job.output, "requests": job.requests, "question": limits.question}
    header = json.dumps(
        {
            "parameters": job.parameters,
            "context": job.context,
            "environment": job.environment,
            "allowed_imports": job.allowed_imports,
            "limits": kept,
        }
    ).encode()
    return len(header).to_bytes(_LENGTH) + header + code
