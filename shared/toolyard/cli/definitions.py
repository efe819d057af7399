"""A tool as its author writes it, made of what a gateway shows: without what that adds, fields in one order. Pure."""

import json
from collections.abc import Mapping
from typing import Any, Final

from toolyard.contracts.tools import RetryPolicy

#: The order of fields.
FIELDS: Final = (
    *("name", "title", "description", "toolkit", "enabled", "parameters", "output", "binding", "annotations"),
    *("timeout", "queue_timeout", "deadline", "retry", "key_fields", "key_window", "secrets", "contexts", "telemetry"),
)
#: What the gateway adds where it shows a tool.
ADDED: Final = ("version", "paused")
#: What stands in a tool whose author said nothing.
_UNSAID: Final[dict[str, Any]] = {"enabled": True, "annotations": {}, "secrets": [], "contexts": [], "key_fields": []}
_SECONDS: Final = ("timeout", "queue_timeout", "deadline", "key_window", "execution_timeout")


def as_written(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The definition that makes exactly this tool."""
    said = {name: value for name, value in shown.items() if name not in ADDED and not _is_unsaid(name, value)}
    if isinstance(retry := said.get("retry"), dict):
        said["retry"] = _retry(retry)
    if isinstance(binding := said.get("binding"), dict):
        said["binding"] = _binding(binding)
    said |= {name: _plain(said[name]) for name in _SECONDS if name in said}
    first = {name: said[name] for name in FIELDS if name in said}
    return first | said


def text_of(tool: Mapping[str, Any]) -> str:
    """The YAML document of a definition."""
    from toolyard.cli import yaml_writing  # here, because the other commands need no YAML

    return yaml_writing.write(tool)


def is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two definitions, both as a gateway shows them, are the same tool: 1 is neither 1.0 nor true."""
    return _canonical(one) == _canonical(other)


def _canonical(shown: Mapping[str, Any]) -> str:
    kept = {name: value for name, value in shown.items() if name not in ADDED}
    return json.dumps(kept, sort_keys=True)


def _is_unsaid(name: str, value: Any) -> bool:
    return name in _UNSAID and _UNSAID[name] == value


def _retry(retry: dict[str, Any]) -> dict[str, Any]:
    said = {name: value for name, value in retry.items() if (name, value) != ("backoff", RetryPolicy().backoff)}
    return said | ({"backoff": _plain(said["backoff"])} if "backoff" in said else {})


def _binding(binding: dict[str, Any]) -> dict[str, Any]:
    """Code comes last: what stands below a long text is not seen."""
    first = {name: _plain(value) if name in _SECONDS else value for name, value in binding.items() if name != "code"}
    return first | ({"code": binding["code"]} if "code" in binding else {})


def _plain(seconds: Any) -> Any:
    """Seconds as a person writes them: 30, not 30.0."""
    return int(seconds) if isinstance(seconds, float) and seconds.is_integer() else seconds
