"""Definitions of sandboxed tools, as data: what is changed in a good one, the field that is named, and what is said."""

from typing import Any

CODE = "def execute_tool(parameters, context):\n    return parameters\n"
WEB = {"allowed_imports": ["requests"], "allowed_hosts": ["api.example.com"]}


def sandboxed(top: dict[str, Any] | None = None, /, **binding: Any) -> dict[str, Any]:
    """A good definition with these fields of its binding, and these of its own; ``...`` takes one away."""
    whole = {"type": "sandbox", "code": CODE} | binding
    return {
        "name": "words",
        "description": "Counts words.",
        "parameters": {"type": "object", "properties": {"text": {"type": "string"}}},
        "binding": {name: value for name, value in whole.items() if value is not ...},
    } | (top or {})


#: name -> the definition, the field that is named, a part of what is said
REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    # -- what runs
    "no type": (sandboxed(type=...), "binding.type", "is missing; write http or sandbox or lambda or arcade"),
    "a type that is null": (
        sandboxed(type=None),
        "binding.type",
        "is missing; write http or sandbox or lambda or arcade",
    ),
    "a type that is a number": (sandboxed(type=7), "binding.type", "must be a text, not a number; write http"),
    "a type that is a list": (sandboxed(type=["sandbox"]), "binding.type", "must be a text, not a list"),
    "a misspelt type": (sandboxed(type="sandbx"), "binding.type", "'sandbx' is none; did you mean sandbox?"),
    "a type that nobody knows": (
        sandboxed(type="smtp"),
        "binding.type",
        "'smtp' is none; write http or sandbox or lambda or arcade",
    ),
    "a binding that is a list": ({**sandboxed(), "binding": ["sandbox"]}, "binding", "must be a JSON object"),
    "a field of another kind": (sandboxed(url="https://a.example.com"), "binding.url", "is not a field here"),
    "a misspelt field": (sandboxed(memory_limit=64), "binding.memory_limit", "did you mean memory_limit_mb?"),
    "code of an http tool": (
        {**sandboxed(), "binding": {"type": "http", "method": "GET", "url": "https://a.example.com", "code": CODE}},
        "binding.code",
        "is not a field here",
    ),
    # -- code
    "no code": (sandboxed(code=...), "binding.code", "is missing; give it"),
    "empty code": (sandboxed(code=""), "binding.code", "at least 1 character"),
    "code that is a list": (sandboxed(code=["return 1"]), "binding.code", "must be a text, not a list"),
    "code that is null": (sandboxed(code=None), "binding.code", "must be a text, not null"),
    "code of 128 KiB and one character": (sandboxed(code="#" * 131_073), "binding.code", "at most 131072 characters"),
    "code of fewer characters and more bytes": (sandboxed(code="#" + "ä" * 65_536), "binding.code", "131,073 bytes"),
    # -- imports
    "imports that are a text": (sandboxed(allowed_imports="json"), "binding.allowed_imports", "must be a list"),
    "an import that is a number": (sandboxed(allowed_imports=["json", 1]), "binding.allowed_imports.1", "a text"),
    "an import that is a statement": (
        sandboxed(allowed_imports=["import json"]),
        "binding.allowed_imports.0",
        "the name of a module, as in json or urllib.parse",
    ),
    "an import with a dot at its end": (sandboxed(allowed_imports=["json."]), "binding.allowed_imports.0", "module"),
    "an import twice": (sandboxed(allowed_imports=["re", "re"]), "binding.allowed_imports.1", "keep one"),
    "65 imports": (sandboxed(allowed_imports=[f"m{n}" for n in range(65)]), "binding.allowed_imports", "at most 64"),
    # -- the network
    "requests without hosts": (
        sandboxed(allowed_imports=["json", "requests"]),
        "binding.allowed_hosts",
        "name each, as in api.example.com or *.example.com",
    ),
    "hosts without requests": (
        sandboxed(allowed_imports=["json"], allowed_hosts=["api.example.com"]),
        "binding.allowed_hosts",
        "name it in allowed_imports, or leave this out",
    ),
    "hosts where nothing is said of imports": (
        sandboxed(allowed_hosts=["api.example.com"]),
        "binding.allowed_hosts",
        "name it in allowed_imports",
    ),
    "a module of requests": (
        sandboxed(allowed_imports=["requests.exceptions"], allowed_hosts=["api.example.com"]),
        "binding.allowed_imports.0",
        "write requests",
    ),
    "a host that is a URL": (
        sandboxed(**WEB | {"allowed_hosts": ["api.example.com", "https://b.example.com/"]}),
        "binding.allowed_hosts.1",
        "a URL; expected a host or *.host",
    ),
    "every host": (sandboxed(**WEB | {"allowed_hosts": ["*"]}), "binding.allowed_hosts.0", "expected a host or *.host"),
    "a host of another protocol": (
        sandboxed(**WEB | {"allowed_hosts": ["a.example.com:25"]}),
        "binding.allowed_hosts.0",
        "another protocol",
    ),
    "a private address": (
        sandboxed(**WEB | {"allowed_hosts": ["192.168.1.1"]}),
        "binding.allowed_hosts.0",
        "TOOLYARD_EGRESS_ALLOW",
    ),
    "metadata": (sandboxed(**WEB | {"allowed_hosts": ["169.254.169.254:80"]}), "binding.allowed_hosts.0", "may not"),
    "a host twice": (sandboxed(**WEB | {"allowed_hosts": ["a.com", "a.com"]}), "binding.allowed_hosts.1", "keep one"),
    "a host that is a number": (sandboxed(**WEB | {"allowed_hosts": [1]}), "binding.allowed_hosts.0", "a text"),
    "65 hosts": (sandboxed(**WEB | {"allowed_hosts": [f"h{n}.com" for n in range(65)]}), "binding.allowed_hosts", "64"),
    # -- bounds
    "no time": (sandboxed(execution_timeout=0), "binding.execution_timeout", "greater than 0"),
    "a negative time": (sandboxed(execution_timeout=-1), "binding.execution_timeout", "greater than 0"),
    "a time that is a text": (sandboxed(execution_timeout="5"), "binding.execution_timeout", "must be a number"),
    "more time than an attempt has": (
        sandboxed(execution_timeout=30.5),
        "binding.execution_timeout",
        "one attempt may take, 30 s; set timeout to 31 or more",
    ),
    "more time than the tool has": (
        sandboxed({"timeout": 5}, execution_timeout=10),
        "binding.execution_timeout",
        "one attempt may take, 5 s; set timeout to 10 or more",
    ),
    "more time than anything has": (sandboxed(execution_timeout=1_501), "binding.execution_timeout", "1500"),
    "15 MiB": (sandboxed(memory_limit_mb=15), "binding.memory_limit_mb", "greater than or equal to 16"),
    "1,025 MiB": (sandboxed(memory_limit_mb=1_025), "binding.memory_limit_mb", "less than or equal to 1024"),
    "a part of a MiB": (sandboxed(memory_limit_mb=64.5), "binding.memory_limit_mb", "must be a whole number"),
    "memory that is a text": (sandboxed(memory_limit_mb="64"), "binding.memory_limit_mb", "must be a whole number"),
    "memory that is true": (sandboxed(memory_limit_mb=True), "binding.memory_limit_mb", "must be a whole number"),
    "no output": (sandboxed(output_limit_kb=0), "binding.output_limit_kb", "greater than or equal to 1"),
    "1,025 KiB of output": (sandboxed(output_limit_kb=1_025), "binding.output_limit_kb", "1024"),
    "less than no prints": (sandboxed(print_limit_kb=-1), "binding.print_limit_kb", "greater than or equal to 0"),
    "1,025 KiB of prints": (sandboxed(print_limit_kb=1_025), "binding.print_limit_kb", "1024"),
    "less than no requests": (sandboxed(**WEB, request_limit=-1), "binding.request_limit", "greater than or equal"),
    "101 requests": (sandboxed(**WEB, request_limit=101), "binding.request_limit", "less than or equal to 100"),
    # -- secrets
    "a variable with a bad name": (
        sandboxed(environment_variables=["A-B"]),
        "binding.environment_variables.0",
        "a letter first, 64 at most",
    ),
    "a variable with a value": (sandboxed(environment_variables={"A": "b"}), "binding.environment_variables", "a list"),
    "a variable twice": (
        sandboxed(environment_variables=["A", "B", "A"]),
        "binding.environment_variables.2",
        "keep one",
    ),
    "65 variables": (
        sandboxed(environment_variables=[f"A{n}" for n in range(65)]),
        "binding.environment_variables",
        "at most 64",
    ),
    "a key of the context that every call has": (
        sandboxed({"contexts": ["tenant", "environment_variables"]}),
        "contexts.1",
        "given by Toolyard",
    ),
    "a secret that no code is given": (
        sandboxed({"secrets": ["A", "B"]}, environment_variables=["A"]),
        "secrets.1",
        "name it in binding.environment_variables",
    ),
}

#: name -> a definition that is kept
ACCEPTED: dict[str, dict[str, Any]] = {
    "nothing but code": sandboxed(),
    "no imports at all": sandboxed(allowed_imports=[]),
    "some imports": sandboxed(allowed_imports=["json", "urllib.parse", "collections.abc"]),
    "the network": sandboxed(**WEB),
    "hosts of every form": sandboxed(
        **WEB | {"allowed_hosts": ["a.example.com", "*.example.com:8443", "10.0.0.1:8080", "93.184.216.34"]}
    ),
    "every bound at its least": sandboxed(
        execution_timeout=0.001, memory_limit_mb=16, output_limit_kb=1, print_limit_kb=0, **WEB, request_limit=0
    ),
    "every bound at its most": sandboxed(
        {"timeout": 1_500},
        execution_timeout=1_500,
        memory_limit_mb=1_024,
        output_limit_kb=1_024,
        print_limit_kb=1_024,
        **WEB,
        request_limit=100,
    ),
    "as long as an attempt may take": sandboxed(execution_timeout=30),
    "128 KiB of code": sandboxed(code=CODE + "#" * (131_072 - len(CODE))),
    "secrets": sandboxed({"secrets": ["TOKEN"]}, environment_variables=["TOKEN", "OTHER"]),
    "a secret of its other way": sandboxed(
        {
            "secrets": ["TOKEN"],
            "fallback": {
                "type": "http",
                "method": "POST",
                "url": "https://api.example.com/mails",
                "authentication": {"type": "bearer", "secret": "TOKEN"},
            },
        }
    ),
    "everything that every tool has": sandboxed(
        {
            "title": "Words",
            "output": {"type": "object"},
            "annotations": {"read_only": True},
            "contexts": ["tenant"],
            "deadline": 60,
            "retry": {"max_attempts": 3, "backoff": 0.5},
            "key_fields": ["text"],
            "toolkit": "demo",
            "enabled": False,
        }
    ),
}
