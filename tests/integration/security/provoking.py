"""Tools that get a secret and do everything with it that goes wrong, or right: one a definition, all called once."""

from collections.abc import Iterator
from typing import Any, Final

from tests.integration.security.canaries import MARKER, Canary

_SHORT: Final = 1.5
#: What a sandboxed tool does with the secret ``v``; its upstream is ``{up}``, and nobody listens at ``{nobody}``.
_BODIES: Final[dict[str, str]] = {
    "returns": "return {'v': v, 'list': [v, [v]], 'text': f'it is {v}', v: v}",
    "prints": "print(v); print([v, {'k': v}]); print(repr(v)); print('x' + v + 'y'); return 1",
    "logs": "import logging\nlogging.warning('it is %s', v)\nreturn 1",
    "encodes": "import base64\nimport json\nfrom urllib.parse import quote, urlencode\n"
    "out = [base64.b64encode(v.encode()).decode(), base64.urlsafe_b64encode(('u:' + v).encode()).decode(), quote(v), "
    "quote(v, safe=''), urlencode({'q': v}), json.dumps(v), json.dumps(json.dumps(v))]\nprint(out)\nreturn out",
    "raises": "raise ValueError(f'bad token {v}')",
    "raises_key": "return {}[v]",
    "raises_number": "return int(v)",
    "asserts": "assert v == 'else', v",
    "chains": "try:\n    raise ValueError(v)\nexcept ValueError as error:\n    raise RuntimeError(f'{error!r} {v}')",
    "says_no": "return {'success': False, 'message': f'wrong: {v}'}",
    "hangs": "print(v)\nwhile True: pass",
    "eats": "print(v)\nx = []\nwhile True: x.append(v * 100_000)",
    "goes_deep": "print(v)\ndef f(x): return f(x + v)\nreturn f(v)",
    "returns_a_set": "print(v)\nreturn {v}",
    "returns_much": "return v * 40_000",
    "prints_much": "for n in range(20_000): print(v)\nreturn 1",
    "asks": "import requests\nr = requests.get('{up}/echo', params={{'v': v}}, headers={{'X': quote(v)}})\n"
    "return r.json()",
    "posts": "import requests\nreturn requests.post('{up}/echo', json={{'v': v}}, auth=('ann', quote(v))).text",
    "is_refused": "import requests\nrequests.get('{up}/status/401', params={{'body': v}}).raise_for_status()",
    "is_cut_off": "import requests\nrequests.get('{up}/drop', params={{'v': v}})",
    "reaches_nobody": "import requests\nrequests.get('{nobody}/' + quote(v))",
    "may_not": "import requests\nrequests.get('http://10.9.8.7/?v=' + quote(v))",
    "writes_nonsense": "import requests\nrequests.get('nonsense://' + v)",
    "asks_for_a_name": "import requests\nrequests.get('http://nowhere.invalid/' + quote(v))",
}
#: Where an http tool puts the secret, and how its upstream answers. ``V`` stands for the placeholder.
_REQUESTS: Final[dict[str, dict[str, Any]]] = {
    "in_path": {"method": "GET", "url": "{up}/echo/V/x"},
    "in_query": {"method": "GET", "url": "{up}/echo", "query": {"v": "V", "more": ["a V b"]}},
    "in_url_query": {"method": "GET", "url": "{up}/echo?v=V"},
    "in_json": {"method": "POST", "url": "{up}/echo", "body": {"v": "V", "deep": [{"t": "it is V"}]}},
    "in_form": {
        "method": "POST",
        "url": "{up}/echo",
        "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        "body": {"v": "V"},
    },
    "in_text": {
        "method": "POST",
        "url": "{up}/echo",
        "headers": {"Content-Type": "text/plain"},
        "body": "v is V",
    },
    "in_header": {"method": "GET", "url": "{up}/echo", "headers": {"X-V": "V"}},
    "told": {"method": "GET", "url": "{up}/status/200", "query": {"body": "the token is V"}},
    "refused": {"method": "POST", "url": "{up}/status/401", "query": {"body": "bad token V"}},
    "broken": {"method": "POST", "url": "{up}/status/500", "query": {"body": "Traceback: token='V'"}},
    "busy": {"method": "POST", "url": "{up}/status/429", "query": {"body": "V", "retry_after": "V"}},
    "says_no": {
        "method": "POST",
        "url": "{up}/status/200",
        "query": {"body": '{"ok": false, "why": "wrong: V"}'},
        "response_handling": {"success_field": "ok", "message_field": "why"},
    },
    "cut_off": {"method": "POST", "url": "{up}/drop", "query": {"v": "V"}},
    "hangs": {"method": "POST", "url": "{up}/sleep/30", "query": {"v": "V"}},
    "moved": {"method": "GET", "url": "{up}/redirect", "query": {"to": "http://127.0.0.1/V"}},
    "too_large": {"method": "GET", "url": "{up}/big/2000000", "query": {"v": "V"}},
    "nobody": {"method": "GET", "url": "{nobody}/", "query": {"v": "V"}},
    "no_such_host": {"method": "GET", "url": "http://nowhere.invalid/", "query": {"v": "V"}},
}
_SIGNING_IN: Final[dict[str, dict[str, Any]]] = {
    "bearer": {"type": "bearer"},
    "basic": {"type": "basic"},
    "key_in_header": {"type": "api_key", "in": "header", "name": "X-Key"},
    "key_in_query": {"type": "api_key", "in": "query", "name": "k"},
}


def http_tools(canary: Canary, up: str, nobody: str) -> Iterator[dict[str, Any]]:
    """Every request with this secret."""
    for name, request in _REQUESTS.items():
        binding = _filled(
            {"type": "http", **request}, {"V": f"${{secrets.{canary.name}}}", "{up}": up, "{nobody}": nobody}
        )
        yield _tool(f"{name}_{canary.name}", binding, canary)
    for name, method in _SIGNING_IN.items():
        for path in ("echo", "status/403?body=no%20such%20key"):
            binding = {
                "type": "http",
                "method": "POST",
                "url": f"{up}/{path}",
                "authentication": method | {"secret": canary.name},
            }
            yield _tool(f"{name}_{path[:4]}_{canary.name}", binding, canary)
    echo = {"type": "http", "method": "GET", "url": f"{up}/echo", "query": {"v": f"${{secrets.{canary.name}}}"}}
    wrong = {"type": "object", "properties": {"query": {"type": "object", "properties": {"v": {"const": 7}}}}}
    yield _tool(f"output_{canary.name}", echo, canary, output=wrong)


def sandbox_tools(canary: Canary, up: str, nobody: str) -> Iterator[dict[str, Any]]:
    """Every piece of code with this secret."""
    for name, body in _BODIES.items():
        asks = "requests" in body
        filled = (
            body.replace("{up}", up).replace("{nobody}", nobody).replace("{{", "{").replace("}}", "}") if asks else body
        )
        head = ["import os", *(["from urllib.parse import quote"] if asks else []), f"v = os.environ['{canary.name}']"]
        lines = "\n".join([*head, filled]).split("\n")
        binding: dict[str, Any] = {
            "type": "sandbox",
            "code": "\n    ".join(["def execute_tool(parameters, context):", *lines]),
            "environment_variables": [canary.name],
            "memory_limit_mb": 32,
            "execution_timeout": _SHORT,
        }
        if asks:
            hosts = ["127.0.0.1", "*.invalid"]
            modules = ["requests", "os", "urllib.parse"]
            binding |= {"allowed_imports": modules, "allowed_hosts": hosts}
        yield _tool(f"code_{name}_{canary.name}", binding, canary)


def _tool(name: str, binding: dict[str, Any], canary: Canary, **more: Any) -> dict[str, Any]:
    return {
        "name": name,
        "description": f"Goes wrong with {canary.name}.",
        "parameters": {"type": "object"},
        "binding": binding,
        "secrets": [canary.name],
        "timeout": 2 * _SHORT,
        "telemetry": {"arguments": True, "result": True},
        **more,
    }


def _filled(value: Any, words: dict[str, str]) -> Any:
    """The value with words in its texts replaced; ``V`` stands alone, or between other signs than letters."""
    if isinstance(value, dict):
        return {key: _filled(item, words) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, words) for item in value]
    if not isinstance(value, str):
        return value
    for word, text in words.items():
        value = value.replace(word, text) if word != "V" or _alone(value) else value
    return value


def _alone(text: str) -> bool:
    return "V" in text and not text.startswith("X-V")


def arguments() -> dict[str, Any]:
    """What each of these is called with: the marker, which is no secret."""
    return {"marker": MARKER}
