"""Definitions that could never work, as data: what is changed in a good one, and the field that is named."""

from typing import Any

SECRET = {"secrets": ["TOKEN"]}


def with_binding(**changed: Any) -> dict[str, Any]:
    binding = {"type": "http", "method": "POST", "url": "https://api.example.com/echo"} | changed
    return {"binding": {name: value for name, value in binding.items() if value is not ...}}


def with_schema(**changed: Any) -> dict[str, Any]:
    schema = {"type": "object", "properties": {"text": {"type": "string"}}} | changed
    return {"parameters": {name: value for name, value in schema.items() if value is not ...}}


def with_property(schema: Any) -> dict[str, Any]:
    order = {"order": {"type": "object", "properties": {"id": {"type": "string"}}}}
    return with_schema(properties={"text": {"type": "string"}, "a": schema}, **{"$defs": order})


def with_auth(**auth: Any) -> dict[str, Any]:
    return SECRET | with_binding(authentication=auth)


def nested(depth: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(depth):
        schema = {"type": "object", "properties": {"a": schema}}
    return schema


def bomb(levels: int) -> dict[str, Any]:
    twice = {f"d{n}": {"anyOf": [{"$ref": f"#/$defs/d{n + 1}"}] * 2} for n in range(levels)}
    return with_schema(**{"$ref": "#/$defs/d0", "$defs": twice | {f"d{levels}": {"type": "object"}}})


#: name -> what is changed, the field that is named
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    # -- names and texts
    "no name": ({"name": ...}, "name"),
    "a name with a space": ({"name": "a b"}, "name"),
    "a name that begins with a digit": ({"name": "1a"}, "name"),
    "a name with two underscores": ({"name": "a__b"}, "name"),
    "a name of 65 characters": ({"name": "a" * 65}, "name"),
    "a name with a slash": ({"name": "a/b"}, "name"),
    "no description": ({"description": ...}, "description"),
    "an empty description": ({"description": ""}, "description"),
    "a title that is a number": ({"title": 7}, "title"),
    "an unknown field": ({"colour": "red"}, "colour"),
    "a version": ({"version": 3}, "version"),
    # -- what this build does not act on
    "a confirmation": ({"require_confirmation": True}, "require_confirmation"),
    "a binding nobody knows": ({"binding": {"type": "smtp"}}, "binding.type"),
    "no binding type": (with_binding(type=...), "binding.type"),
    "no binding": ({"binding": ...}, "binding"),
    # -- what runs in its place
    "a fallback that is a sandbox": (
        {"fallback": {"type": "sandbox", "code": "def execute_tool(parameters, context):\n    return 1\n"}},
        "fallback.type",
    ),
    "a fallback of no kind": ({"fallback": {"url": "https://api.example.com/"}}, "fallback.type"),
    "a fallback without a URL": ({"fallback": {"type": "http", "method": "GET"}}, "fallback.url"),
    "a fallback that goes nowhere": (
        {"fallback": {"type": "http", "method": "GET", "url": "http://10.0.0.2/"}},
        "fallback.url",
    ),
    "a fallback with a secret that nobody listed": (
        {
            "fallback": {
                "type": "http",
                "method": "GET",
                "url": "https://api.example.com/",
                "headers": {"X": "${secrets.NO}"},
            }
        },
        "fallback.headers.X",
    ),
    # -- retries
    "retries without a number": ({"retry": {"backoff": 2}}, "retry.max_attempts"),
    "no attempt at all": ({"retry": {"max_attempts": 0}}, "retry.max_attempts"),
    "21 attempts": ({"retry": {"max_attempts": 21}}, "retry.max_attempts"),
    "two and a half attempts": ({"retry": {"max_attempts": 2.5}}, "retry.max_attempts"),
    "attempts that are true": ({"retry": {"max_attempts": True}}, "retry.max_attempts"),
    "retries that are a number": ({"retry": 3}, "retry"),
    "a code that is none": ({"retry": {"max_attempts": 2, "codes": ["upstream_eror"]}}, "retry.codes.0"),
    "a code that is a number": ({"retry": {"max_attempts": 2, "codes": ["timed_out", 503]}}, "retry.codes.1"),
    "a code that ends a call": ({"retry": {"max_attempts": 2, "codes": ["cancelled"]}}, "retry.codes.0"),
    "a pause of nothing": ({"retry": {"max_attempts": 2, "backoff": 0}}, "retry.backoff"),
    "a negative pause": ({"retry": {"max_attempts": 2, "backoff": -1}}, "retry.backoff"),
    "a pause of an hour": ({"retry": {"max_attempts": 2, "backoff": 3_600}}, "retry.backoff"),
    "an unknown field of retries": ({"retry": {"max_attempts": 2, "delay": 1}}, "retry.delay"),
    "20 more attempts by their other name": ({"retry_attempts": 20}, "retry_attempts"),
    "negative attempts by their other name": ({"retry_attempts": -1}, "retry_attempts"),
    "attempts that are a text": ({"retry_attempts": "2"}, "retry_attempts"),
    "attempts that are true, by their other name": ({"retry_attempts": True}, "retry_attempts"),
    "both names of attempts": ({"retry_attempts": 1, "retry": {"max_attempts": 2}}, "retry_attempts"),
    # -- key fields
    "a key field that is no property": ({"key_fields": ["text", "other"]}, "key_fields.1"),
    "a key field inside of a text": ({"key_fields": ["text.length"]}, "key_fields.0"),
    "a key field of a pattern": (with_schema(patternProperties={"^x": {}}) | {"key_fields": ["xy"]}, "key_fields.0"),
    "a key field that is empty": ({"key_fields": [""]}, "key_fields.0"),
    "a key field of dots": ({"key_fields": ["text."]}, "key_fields.0"),
    "a key field that is a number": ({"key_fields": [1]}, "key_fields.0"),
    "17 key fields": ({"key_fields": ["text"] * 17}, "key_fields"),
    "telemetry of something else": ({"telemetry": {"users": True}}, "telemetry.users"),
    "telemetry that is no word": ({"telemetry": {"arguments": "yes"}}, "telemetry.arguments"),
    "a key window without fields": ({"key_window": 60}, "key_window"),
    "a key window of half a second": ({"key_fields": ["text"], "key_window": 0.5}, "key_window"),
    "a key window of 8 days": ({"key_fields": ["text"], "key_window": 691_200}, "key_window"),
    # -- durations
    "a timeout that is too long": ({"timeout": 1501}, "timeout"),
    "a timeout of nothing": ({"timeout": 0}, "timeout"),
    "a deadline that is too long": ({"deadline": 86_401}, "deadline"),
    "a queue timeout over the deadline": ({"queue_timeout": 20, "deadline": 10}, "queue_timeout"),
    # -- schemas
    "a schema that is a list": ({"parameters": []}, "parameters"),
    "a schema of no type": (with_schema(type=...), "parameters.type"),
    "a schema of a text": (with_schema(type="string"), "parameters.type"),
    "another dialect": (with_schema(**{"$schema": "http://json-schema.org/draft-07/schema#"}), "parameters.$schema"),
    "a type that is none": (with_property({"type": "strng"}), "parameters.properties.a.type"),
    "required that is a text": (with_schema(required="text"), "parameters.required"),
    "a remote reference": (with_property({"$ref": "https://example.com/s"}), "parameters.properties.a.$ref"),
    "a reference to a file": (with_property({"$ref": "file:///etc/passwd"}), "parameters.properties.a.$ref"),
    "a relative reference": (with_property({"$ref": "other.json"}), "parameters.properties.a.$ref"),
    "a remote dynamic reference": (
        with_property({"$dynamicRef": "http://x/#a"}),
        "parameters.properties.a.$dynamicRef",
    ),
    "a reference deep inside": (
        with_property({"anyOf": [{"items": {"$ref": "http://x"}}]}),
        "parameters.properties.a.anyOf.0.items.$ref",
    ),
    "an id below the root": (with_property({"$id": "http://x"}), "parameters.properties.a.$id"),
    "a reference to nothing": (with_property({"$ref": "#/$defs/none"}), "parameters.properties.a.$ref"),
    "a look-ahead": (with_property({"pattern": "^(?=a)b"}), "parameters.properties.a.pattern"),
    "a back-reference": (with_property({"pattern": r"(a)\1"}), "parameters.properties.a.pattern"),
    "a pattern that is broken": (with_property({"pattern": "(a"}), "parameters.properties.a.pattern"),
    "a pattern that explodes": (with_property({"pattern": "(a{1000}){1000}"}), "parameters.properties.a.pattern"),
    "a long pattern": (with_property({"pattern": "a" * 513}), "parameters.properties.a.pattern"),
    "a long pattern of names": (
        with_schema(patternProperties={"a" * 513: {"type": "string"}}),
        "parameters.patternProperties",
    ),
    "many patterns": (
        with_schema(properties={"text": {}} | {f"p{n}": {"pattern": "a" * 500} for n in range(20)}),
        "parameters",
    ),
    "a schema 33 deep": (with_property(nested(33)), "parameters." + ".".join(["properties.a"] * 33)),
    "a schema that doubles at each level": (bomb(40), "parameters"),
    "a recursion that doubles at each level": (
        with_schema(anyOf=[{"properties": {"a": {"$ref": "#"}}}, {"additionalProperties": {"$ref": "#"}}]),
        "parameters",
    ),
    "an output with a remote reference": ({"output": {"$ref": "http://x"}}, "output.$ref"),
    "an output that is no schema": ({"output": {"type": "strng"}}, "output.type"),
    # -- url
    "no url": (with_binding(url=...), "binding.url"),
    "a relative url": (with_binding(url="/echo"), "binding.url"),
    "a url of another scheme": (with_binding(url="ftp://example.com/"), "binding.url"),
    "a file": (with_binding(url="file:///etc/passwd"), "binding.url"),
    "a url that is a value": (with_binding(url="${arguments.text}"), "binding.url"),
    "a host that is a value": (with_binding(url="https://${arguments.text}.example.com/"), "binding.url"),
    "a host with a value behind it": (with_binding(url="https://example.com${arguments.text}/"), "binding.url"),
    "a port that is a value": (with_binding(url="https://example.com:${arguments.text}/"), "binding.url"),
    "a scheme that is a value": (with_binding(url="${arguments.text}://example.com/"), "binding.url"),
    "a host that is a secret": (with_binding(url="https://${secrets.TOKEN}/") | SECRET, "binding.url"),
    "a password in the url": (with_binding(url="https://user:password@example.com/"), "binding.url"),
    "no host": (with_binding(url="https:///echo"), "binding.url"),
    "a space in the url": (with_binding(url="https://example.com/a b"), "binding.url"),
    "a port of another protocol": (with_binding(url="http://example.com:25/"), "binding.url"),
    "loopback": (with_binding(url="http://127.0.0.1/"), "binding.url"),
    "loopback in disguise": (with_binding(url="http://0x7f000001/"), "binding.url"),
    "a private address": (with_binding(url="http://192.168.1.1/"), "binding.url"),
    "metadata": (with_binding(url="http://169.254.169.254/latest"), "binding.url"),
    "an IPv6 loopback": (with_binding(url="http://[::1]/"), "binding.url"),
    "a host that allowed_hosts leaves out": (with_binding(allowed_hosts=["other.example.com"]), "binding.url"),
    "an allowed host that is a URL": (with_binding(allowed_hosts=["https://x.com"]), "binding.allowed_hosts.0"),
    # -- headers and body
    "a header name that is a value": (
        with_binding(headers={"X-${arguments.text}": "a"}),
        "binding.headers.X-${arguments.text}",
    ),
    "a header name with a space": (with_binding(headers={"X Y": "a"}), "binding.headers.X Y"),
    "a header name with a line break": (with_binding(headers={"X\r\nY": "a"}), "binding.headers.X\r\nY"),
    "a header value with a line break": (with_binding(headers={"X": "a\r\nY: b"}), "binding.headers.X"),
    "a header value that is a number": (with_binding(headers={"X": 1}), "binding.headers.X"),
    "the header Host": (with_binding(headers={"Host": "x"}), "binding.headers.Host"),
    "the header Content-Length": (with_binding(headers={"content-length": "1"}), "binding.headers.content-length"),
    "a header twice": (with_binding(headers={"X-A": "1", "x-a": "2"}), "binding.headers.x-a"),
    "a GET with a body": (with_binding(method="GET", body={"a": 1}), "binding.body"),
    "a HEAD with a body": (with_binding(method="HEAD", body="a"), "binding.body"),
    "a method that is none": (with_binding(method="FETCH"), "binding.method"),
    "a method in small letters": (with_binding(method="get"), "binding.method"),
    "both names of the body": (with_binding(body=1, request_body_template=2), "binding.request_body_template"),
    # -- authentication
    "bearer without a secret": (with_auth(type="bearer"), "binding.authentication.secret"),
    "a secret that is not listed": (
        with_binding(authentication={"type": "bearer", "secret": "OTHER"}),
        "binding.authentication.secret",
    ),
    "an api key without a name": (with_auth(type="api_key", secret="TOKEN"), "binding.authentication.name"),
    "an api key in a header that cannot be": (
        with_auth(type="api_key", secret="TOKEN", name="X Y"),
        "binding.authentication.name",
    ),
    "an api key in the header Host": (
        with_auth(type="api_key", secret="TOKEN", name="Host"),
        "binding.authentication.name",
    ),
    "an api key in a cookie": (
        with_auth(type="api_key", secret="TOKEN", name="X", **{"in": "cookie"}),
        "binding.authentication.in",
    ),
    "bearer with a name": (with_auth(type="bearer", secret="TOKEN", name="X"), "binding.authentication.name"),
    "a secret for nothing": (with_auth(type="none", secret="TOKEN"), "binding.authentication.type"),
    "a secret's value in place of its name": (
        with_auth(type="bearer", secret="${secrets.TOKEN}"),
        "binding.authentication.secret",
    ),
    "both names of the secret": (
        with_auth(type="bearer", secret="TOKEN", token_field="TOKEN"),
        "binding.authentication.token_field",
    ),
    "a secret with a bad name": ({"secrets": ["a-b"]}, "secrets.0"),
    "a context with a bad name": ({"contexts": ["a b"]}, "contexts.0"),
    # -- nango
    "nango without an integration": (with_auth(type="nango"), "binding.authentication.integration"),
    "an integration that Nango takes none as": (
        with_auth(type="nango", integration="git,hub"),
        "binding.authentication.integration",
    ),
    "nango with a secret": (
        with_auth(type="nango", integration="github", secret="TOKEN"),
        "binding.authentication.secret",
    ),
    "nango with a name": (with_auth(type="nango", integration="github", name="X"), "binding.authentication.name"),
    "nango in the query": (
        with_auth(type="nango", integration="github", **{"in": "query"}),
        "binding.authentication.in",
    ),
    "a mode that nobody knows": (
        with_auth(type="nango", integration="github", mode="sdk"),
        "binding.authentication.mode",
    ),
    "a connection that the model chooses": (
        with_auth(type="nango", integration="github", connection="${arguments.text}"),
        "binding.authentication.connection",
    ),
    "a connection that is a secret": (
        with_auth(type="nango", integration="github", connection="${TOKEN}"),
        "binding.authentication.connection",
    ),
    "a connection with half a placeholder": (
        with_auth(type="nango", integration="github", connection="${context.crm"),
        "binding.authentication.connection",
    ),
    "an integration for bearer": (
        with_auth(type="bearer", secret="TOKEN", integration="github"),
        "binding.authentication.integration",
    ),
    "a mode for bearer": (with_auth(type="bearer", secret="TOKEN", mode="token"), "binding.authentication.mode"),
    "a connection for nobody": (with_auth(type="none", connection="c"), "binding.authentication.connection"),
    "the header that nango sets": (
        with_binding(headers={"authorization": "x"}, authentication={"type": "nango", "integration": "github"}),
        "binding.headers",
    ),
    # -- what the executor would refuse
    "the header that bearer sets": (
        SECRET | with_binding(headers={"authorization": "x"}, authentication={"type": "bearer", "secret": "TOKEN"}),
        "binding.headers",
    ),
    "the header that an api key sets": (
        SECRET
        | with_binding(
            headers={"x-k": "1"}, authentication={"type": "api_key", "secret": "TOKEN", "in": "header", "name": "X-K"}
        ),
        "binding.headers",
    ),
    "the header Accept-Encoding": (with_binding(headers={"Accept-Encoding": "br"}), "binding.headers.Accept-Encoding"),
    "a header value beyond ASCII": (with_binding(headers={"X": "caf\u00e9"}), "binding.headers.X"),
    "the same around a value": (with_binding(headers={"X": "caf\u00e9 ${arguments.text}"}), "binding.headers.X"),
    "an object in the query": (with_binding(query={"q": {"a": 1}}), "binding.query.q"),
    "a multipart body": (
        with_binding(headers={"Content-Type": "multipart/form-data"}, body={"a": 1}),
        "binding.headers.Content-Type",
    ),
    "a type of the body that is a value": (
        with_binding(headers={"Content-Type": "${arguments.text}"}, body={"a": 1}),
        "binding.headers.Content-Type",
    ),
    "a text type with an object": (with_binding(headers={"Content-Type": "text/plain"}, body={"a": 1}), "binding.body"),
    "a name in the URL's query that is a value": (
        with_binding(url="https://api.example.com/?${arguments.text}=1"),
        "binding.url",
    ),
    "a value behind the #": (with_binding(url="https://api.example.com/#${arguments.text}"), "binding.url"),
    "a name of the query that is a value": (with_binding(query={"${arguments.text}": 1}), "binding.query"),
    "a name in the URL and in the query": (
        with_binding(url="https://api.example.com/?a%62=1", query={"ab": 2}),
        "binding.query.ab",
    ),
    "an api key's name in the query": (
        SECRET
        | with_binding(
            query={"k": 1}, authentication={"type": "api_key", "secret": "TOKEN", "in": "query", "name": "k"}
        ),
        "binding.authentication.name",
    ),
    "an api key's name in the URL": (
        SECRET
        | with_binding(
            url="https://api.example.com/?k=${arguments.text}",
            authentication={"type": "api_key", "secret": "TOKEN", "in": "query", "name": "k"},
        ),
        "binding.authentication.name",
    ),
    # -- placeholders
    "an argument that is not in the schema": (with_binding(body={"a": ["${arguments.other}"]}), "binding.body.a.0"),
    "the same by its other name": (with_binding(body="${parameters.other}"), "binding.body"),
    "an argument in the path": (with_binding(url="https://example.com/${arguments.other}"), "binding.url"),
    "an argument in the query": (with_binding(query={"q": "${arguments.other}"}), "binding.query.q"),
    "an argument in a header": (with_binding(headers={"X": "${arguments.other}"}), "binding.headers.X"),
    "a secret that nobody listed": (with_binding(body="${secrets.OTHER}"), "binding.body"),
    "a placeholder without an end": (with_binding(body="${arguments.text"), "binding.body"),
    "a placeholder of no scope": (with_binding(body="${env.HOME}"), "binding.body"),
    "a placeholder with a call in it": (with_binding(body="${arguments.text.upper()}"), "binding.body"),
    "a key that is a placeholder": (with_binding(body={"${arguments.text}": 1}), "binding.body"),
}

#: name -> what is changed in a good one; all of them are kept
ACCEPTED: dict[str, dict[str, Any]] = {
    "nothing": {},
    "every field": {
        "title": "Echo",
        "output": {"type": "string"},
        "annotations": {"read_only": True, "idempotent": False, "destructive": None},
        "timeout": 1500,
        "queue_timeout": 5,
        "deadline": 86_400,
        "secrets": ["TOKEN", "OTHER"],
        "contexts": ["tenant"],
        "toolkit": "demo",
        "enabled": False,
        "retry": {"max_attempts": 20, "codes": ["upstream_error", "timed_out"], "backoff": 0.5},
        "key_fields": ["n", "text"],
        "key_window": 604_800,
    },
    "a fallback": {"fallback": {"type": "http", "method": "POST", "url": "https://b.example.com/"}},
    "a fallback by its other names": {
        "fallback": {"type": "endpoint", "method": "POST", "url": "https://b.example.com/", "request_body_template": {}}
    },
    "arguments and results in traces": {"telemetry": {"arguments": True, "result": True}},
    "nothing in traces": {"telemetry": {}},
    "telemetry that is null": {"telemetry": None},
    "one attempt": {"retry": {"max_attempts": 1}},
    "no retries by their other name": {"retry_attempts": 0},
    "retries by their other name": {"retry_attempts": 19},
    "retries that are null": {"retry": None},
    "key fields deep inside": with_property(
        {"$ref": "#/$defs/order", "anyOf": [{"properties": {"day": {"properties": {"iso": True}}}}]}
    )
    | {"key_fields": ["a.id", "a.day.iso"], "key_window": 1},
    "the names of voice-assistant platforms": SECRET
    | {
        "binding": {
            "type": "endpoint",
            "method": "POST",
            "url": "https://api.example.com/echo",
            "request_body_template": {"said": "${parameters.text}", "all": "${parameters}", "who": "${user_id}"},
            "authentication": {"type": "api_key", "token_field": "TOKEN", "in": "header", "header_name": "X-Key"},
        }
    },
    "values everywhere they may be": with_binding(
        url="https://api.example.com/${arguments.text}/x?q=${arguments.text}#f",
        headers={"X-Text": "a ${arguments.text} b", "X-Call": "${call_id}", "X-Tenant": "${context.tenant}"},
        query={"list": ["${arguments.text}"], "n": 1},
        body={"deep": [{"er": "${arguments.text}"}], "plain": "$${", "all": "${arguments}"},
    ),
    "a name twice in the URL": with_binding(url="https://api.example.com/?a=1&a=${arguments.text}", query={"b": 1}),
    "a form": with_binding(
        headers={"Content-Type": "application/x-www-form-urlencoded"}, body={"a": "${arguments.text}"}
    ),
    "basic": with_auth(type="basic", secret="TOKEN"),
    "an api key in the query": with_auth(type="api_key", secret="TOKEN", name="key", **{"in": "query"}),
    "nango": with_binding(authentication={"type": "nango", "integration": "github"}),
    "nango's proxy with a connection of the application's": with_binding(
        authentication={"type": "nango", "integration": "git@hub", "connection": "c-${context.crm}", "mode": "proxy"}
    ),
    "nango with the mode that is meant anyway": with_binding(
        authentication={"type": "nango", "integration": "github", "mode": "token"}
    ),
    "a secret by its bare name": SECRET | with_binding(body="${TOKEN}"),
    "a GET": with_binding(method="GET", body=...),
    "an address that the operator opened": with_binding(url="http://10.0.0.1:8080/"),
    "a host that allowed_hosts lets through": with_binding(allowed_hosts=["*.example.com"]),
    "response handling": with_binding(response_handling={"success_field": "ok", "data_field": "a.b"}),
    "a local reference": with_schema(
        properties={"text": {"$ref": "#/$defs/t"}}, **{"$defs": {"t": {"type": "string", "pattern": "^a+$"}}}
    ),
    "a recursion that any value ends": with_schema(
        **{"$defs": {"tree": {"properties": {"inner": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}}},
        properties={"text": {"type": "string"}, "tree": {"$ref": "#/$defs/tree"}},
    ),
    "a property that is called $ref": with_property({"properties": {"$ref": {"const": {"$ref": "http://x"}}}}),
    "arguments of a pattern": with_schema(patternProperties={"^x": {"type": "string"}})
    | with_binding(body="${arguments.xy}"),
    "arguments of a branch": with_schema(allOf=[{"properties": {"b": {}}}]) | with_binding(body="${arguments.b}"),
    "an output of any type": {"output": {"type": ["array", "null"]}},
    "a catastrophic pattern, which is harmless here": with_property({"pattern": "^(a+)+$"}),
}
