"""Names of tools as providers take them, and back. Pure; the gateway and its clients map alike.

Providers take letters, digits, ``_`` and ``-``; a tool's name may have dots, and never has ``__``. So a dot becomes
``__``. Where that is too long, or could stand for two tools (``a._b`` and ``a_.b``), the name is cut where it must be
and completed by 8 hex digits, a hash of the tool's name. It says no version: the current one is called.
"""

import re
from hashlib import sha256
from typing import Final

#: Characters that the name of a tool may have, by format.
LIMITS: Final = {"openai": 64, "anthropic": 128}
_DIGITS: Final = 8
_AMBIGUOUS: Final = re.compile(r"_\.|\._")
_COMPLETED: Final = re.compile(rf"[0-9a-f]{{{_DIGITS}}}$")


def provider_name(tool: str, limit: int) -> str:
    """The name of a tool at a provider whose names have at most so many characters."""
    name = tool.replace(".", "__")
    if len(name) <= limit and not _AMBIGUOUS.search(tool):
        return name
    return name[: limit - _DIGITS] + sha256(tool.encode()).hexdigest()[:_DIGITS]


def tool_name(name: str, limit: int) -> str | None:
    """The tool that has this name at a provider, told from the name alone; ``None`` where it does not say.

    A tool's own name is taken too: some servers do not check names.
    """
    if "__" not in name:
        return name
    tool = name.replace("__", ".")
    return tool if provider_name(tool, limit) == name else None


def may_be_completed(name: str, limit: int) -> bool:
    """Whether it may be a name completed by digits: only the names of all tools tell whose it is then."""
    return _COMPLETED.search(name) is not None and (len(name) == limit or "___" in name)
