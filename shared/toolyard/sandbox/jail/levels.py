"""How well a jail is locked on this machine, in four words, and the report that is shown and kept with every run."""

import platform
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from msgspec import Struct

#: Without these nothing runs, whatever the settings say.
NEVER_MISSING: Final = ("limits", "privileges", "seccomp")
#: All walls, the indispensable first.
WALLS: Final = (*NEVER_MISSING, "landlock", "namespaces")


class Level(StrEnum):
    """The levels, the best first."""

    FULL = "full"
    """Every wall stands."""
    CONTAINER = "container"
    """All but the namespaces, which containers do not allow as a rule."""
    DEGRADED = "degraded"
    """Landlock is missing too: its kernel is older than 5.13, or was built or started without it."""
    OFF = "off"
    """A wall that may never be missing is missing: nothing runs."""

    def reaches(self, minimum: "Level") -> bool:
        """Whether this is at least as good."""
        return self.short_of(minimum) == 0

    def short_of(self, minimum: "Level") -> int:
        """By how many levels this is worse."""
        return max(0, _BEST_FIRST.index(self) - _BEST_FIRST.index(minimum))


_BEST_FIRST: Final = tuple(Level)

_WHAT_TO_DO: Final = {
    "limits": "The process must be able to lower its own limits",
    "privileges": "Run as a user that is not root, or leave root the capabilities SETUID and SETGID",
    "seccomp": "The container must allow seccomp filters: its profile must let prctl and seccomp pass",
    "landlock": "Use a kernel from 5.13 on with Landlock among its security modules (lsm=landlock,…), and a seccomp "
    "profile that lets landlock_create_ruleset and landlock_restrict_self pass",
    "namespaces": "Allow user namespaces: run unconfined, or with a seccomp profile that lets unshare, mount and "
    "pivot_root pass, and on Ubuntu an AppArmor profile with userns",
}


class Isolation(Struct, frozen=True, kw_only=True):
    """What stands between a guest and the machine, as proved by attempts when the server was started.

    Attributes:
        level: all of it in one word.
        walls: each wall, and whether it stands.
        missing: the walls that do not, each with the reason.
        attempts: what was tried in locked children, and how it ended.
        landlock_abi: the version of the kernel's Landlock; 0 without.
        kernel: its release.
        machine: the processor.
    """

    level: Level
    walls: dict[str, bool]
    missing: dict[str, str]
    attempts: dict[str, str]
    landlock_abi: int
    kernel: str
    machine: str


def level_of(missing: Mapping[str, str]) -> Level:
    """The level of a jail that lacks these walls."""
    if any(wall in missing for wall in NEVER_MISSING):
        return Level.OFF
    if "landlock" in missing:
        return Level.DEGRADED
    return Level.CONTAINER if "namespaces" in missing else Level.FULL


def isolation(missing: Mapping[str, str], attempts: Mapping[str, str], landlock_abi: int) -> Isolation:
    """The report of a server on this machine."""
    return Isolation(
        level=level_of(missing),
        walls={wall: wall not in missing for wall in WALLS},
        missing=dict(missing),
        attempts=dict(attempts),
        landlock_abi=landlock_abi,
        kernel=platform.release(),
        machine=platform.machine(),
    )


def refusal(found: Isolation, minimum: Level) -> str | None:
    """Why a jail of this kind may not run where `minimum` is asked for; None if it may.

    Nothing runs at `Level.OFF`, even if that is the minimum.
    """
    if found.level is not Level.OFF and found.level.reaches(minimum):
        return None
    asked = Level.DEGRADED if minimum is Level.OFF else minimum
    short = [wall for wall in WALLS if wall in found.missing and not level_of({wall: ""}).reaches(asked)]
    reasons = "; ".join(f"{wall}: {found.missing[wall]}. {_WHAT_TO_DO[wall]}" for wall in short)
    return f"the sandbox reaches the level {found.level.value!r} here, {asked.value!r} is the least: {reasons}"
