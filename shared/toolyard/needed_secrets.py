"""Which secrets a tool needs: what its definition lists, and what its binding names. Pure.

Workers ask for exactly these before an attempt, and schedulers tell no others (docs/decisions/0021).
"""

from collections.abc import Iterator
from typing import Any

from toolyard.consent.nango_names import SECRET as NANGO_SECRET
from toolyard.contracts.tools import (
    ARCADE_KEY,
    ArcadeBinding,
    Binding,
    HttpBinding,
    LambdaBinding,
    PinnedTool,
    SandboxBinding,
)
from toolyard.security.secrets import NAME
from toolyard.templates import placeholders


def needed_secrets(tool: PinnedTool) -> tuple[str, ...]:
    """The names, each once, in the order of the definition."""
    named = (*tool.secrets, *_named(tool.binding, tool.secrets))
    return tuple(name for name in dict.fromkeys(named) if NAME.fullmatch(name))


def _named(binding: Binding, listed: tuple[str, ...]) -> Iterator[str]:
    match binding:
        case HttpBinding():
            yield from _in_templates([binding.url, binding.headers, binding.query, binding.body], listed)
            if binding.authentication.type == "nango":
                yield NANGO_SECRET
            elif binding.authentication.type != "none" and binding.authentication.secret is not None:
                yield binding.authentication.secret
        case SandboxBinding():
            yield from binding.environment_variables
        case LambdaBinding():
            yield from _in_templates(binding.payload_template, listed)
            yield from binding.credentials.values()
        case ArcadeBinding():
            yield ARCADE_KEY


def _in_templates(parts: Any, listed: tuple[str, ...]) -> Iterator[str]:
    """The secrets of placeholders; a template that cannot be read names none, and its tool never runs."""
    try:
        found = placeholders(parts, secrets=listed)
    except ValueError:
        return
    yield from (one.path[0] for one in found if one.scope == "secrets")
