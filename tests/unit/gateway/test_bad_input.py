"""Bad requests, one line each: the status, the code, the field. Nothing reaches a queue, and the gateway goes on."""

import re

import pytest

MIB = 1024 * 1024
OK = b'{"tool":"echo","arguments":{"text":"hi"}}'


def call(**fields: bytes) -> bytes:
    said = {b"tool": b'"echo"', b"arguments": b'{"text":"hi"}'} | {key.encode(): text for key, text in fields.items()}
    return b"{" + b",".join(b'"%s":%s' % pair for pair in said.items()) + b"}"


#: name -> body, status, code, field
BODIES = {
    "empty": (b"", 400, "parse_error", None),
    "cut off": (OK[:-1], 400, "parse_error", None),
    "trailing text": (OK + b"x", 400, "parse_error", None),
    "no JSON": (b"tool=echo", 400, "parse_error", None),
    "byte order mark": (b"\xef\xbb\xbf" + OK, 400, "parse_error", None),
    "UTF-16": (OK.decode().encode("utf-16"), 400, "parse_error", None),
    "not UTF-8": (call(user=b'"\xff"'), 400, "parse_error", None),
    "NaN": (call(timeout=b"NaN"), 400, "parse_error", None),
    "Infinity": (call(timeout=b"-Infinity"), 400, "parse_error", None),
    "a number out of range": (call(timeout=b"1e999"), 400, "parse_error", None),
    "a number without end": (call(timeout=b"1" * 5000), 400, "parse_error", None),
    "a key twice": (b'{"tool":"echo","tool":"other"}', 400, "parse_error", "tool"),
    "a key twice, deep": (call(arguments=b'{"a":[{"b":1,"b":2}]}'), 400, "parse_error", "arguments.a.0.b"),
    "a key twice, written otherwise": (call(arguments=b'{"a":1,"\\u0061":2}'), 400, "parse_error", "arguments.a"),
    "10,000 deep": (call(arguments=b"[" * 10_000 + b"]" * 10_000), 400, "parse_error", None),
    "10,000 deep objects": (call(arguments=b'{"a":' * 10_000 + b"1" + b"}" * 10_000), 400, "parse_error", None),
    "65 deep": (call(arguments=b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"), 400, "parse_error", None),
    "NUL": (call(arguments=b'{"text":"a\\u0000b"}'), 422, "validation_failed", "arguments.text"),
    "NUL in a key": (call(arguments=b'{"a\\u0000":1}'), 422, "validation_failed", "arguments.a\\x00"),
    "a raw NUL": (call(user=b'"\x00"'), 400, "parse_error", None),
    "half a pair": (call(arguments=b'{"text":"\\ud800"}'), 422, "validation_failed", "arguments.text"),
    "the other half": (call(user=b'"\\udc00"'), 422, "validation_failed", "user"),
    "an array": (b"[]", 422, "validation_failed", ""),
    "null": (b"null", 422, "validation_failed", ""),
    "no tool": (b"{}", 422, "validation_failed", "tool"),
    "a tool that is a number": (call(tool=b"7"), 422, "validation_failed", "tool"),
    "a tool with a bad name": (call(tool=b'"../etc"'), 422, "validation_failed", "tool"),
    "a tool with a bad version": (call(tool=b'"echo@latest"'), 422, "validation_failed", "tool"),
    "arguments that are an array": (call(arguments=b"[]"), 422, "validation_failed", "arguments"),
    "arguments that are a text": (call(arguments=b'"{}"'), 422, "validation_failed", "arguments"),
    "arguments of the wrong type": (call(arguments=b'{"text":1}'), 422, "validation_failed", "arguments.text"),
    "arguments that are too many": (call(arguments=b'{"text":"a","x":1}'), 422, "validation_failed", "arguments"),
    "a timeout that is a text": (call(timeout=b'"5"'), 422, "validation_failed", "timeout"),
    "a timeout that is true": (call(timeout=b"true"), 422, "validation_failed", "timeout"),
    "a timeout of nothing": (call(timeout=b"0"), 422, "validation_failed", "timeout"),
    "a negative timeout": (call(timeout=b"-1"), 422, "validation_failed", "timeout"),
    "a timeout that is too long": (call(timeout=b"1501"), 422, "validation_failed", "timeout"),
    "a deadline that is too long": (call(deadline=b"86401"), 422, "validation_failed", "deadline"),
    "a user that is too long": (call(user=b'"%s"' % (b"u" * 256)), 422, "validation_failed", "user"),
    "an empty conversation": (call(conversation=b'""'), 422, "validation_failed", "conversation"),
    "a context that is an array": (call(context=b"[]"), 422, "validation_failed", "context"),
    "a key that is too long": (
        call(idempotency_key=b'"%s"' % (b"k" * 256)),
        422,
        "validation_failed",
        "idempotency_key",
    ),
    "a key with a line break": (call(idempotency_key=b'"a\\nb"'), 422, "validation_failed", "idempotency_key"),
    "an unknown field": (call(colour=b"1"), 422, "validation_failed", "colour"),
    "a misspelt field": (call(argument=b"{}"), 422, "validation_failed", "argument"),
    "a time that is over": (call(not_before=b'"2020-01-01T00:00:00Z"'), 422, "validation_failed", "not_before"),
    "a time in the year 9999": (call(not_before=b'"9999-12-31T23:59:59Z"'), 422, "validation_failed", "not_before"),
    "a time without its offset": (call(not_before=b'"2030-01-01T00:00:00"'), 422, "validation_failed", "not_before"),
    "a time that is a number": (call(not_before=b"1893456000"), 422, "validation_failed", "not_before"),
    "a time by weeks": (call(not_before=b'"2030-W01-1T00:00:00Z"'), 422, "validation_failed", "not_before"),
    "a time with a comma": (call(not_before=b'"2030-01-01T00:00:00,5Z"'), 422, "validation_failed", "not_before"),
    "a time that is none": (call(not_before=b'"soon"'), 422, "validation_failed", "not_before"),
    "a long text for a time": (call(not_before=b'"%s"' % (b"2" * 65)), 422, "validation_failed", "not_before"),
    "a cancel that is a text": (call(cancel_on_disconnect=b'"yes"'), 422, "validation_failed", "cancel_on_disconnect"),
    "a key of 10 kB": (call(idempotency_key=b'"%s"' % (b"k" * 10_000)), 422, "validation_failed", "idempotency_key"),
    "require_confirmation": (call(require_confirmation=b"true"), 422, "validation_failed", "require_confirmation"),
    "an unknown tool": (call(tool=b'"other"'), 404, "tool_not_found", None),
    "an unknown version": (call(tool=b'"echo@9"'), 404, "version_gone", None),
    "1 MiB and a byte": (call(user=b'"%s"' % (b"u" * MIB)), 413, "payload_too_large", None),
    "many small objects": (call(arguments=b'{"a":[%s]}' % b",".join([b"{}"] * 300_000)), 400, "parse_error", None),
    "many numbers": (call(arguments=b'{"a":[%s0]}' % (b"0," * 200_000)), 400, "parse_error", None),
    "fewer numbers": (call(arguments=b'{"a":[%s0]}' % (b"0," * 49_000)), 422, "validation_failed", "arguments"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_a_bad_body_is_refused_with_its_field(rig, name):
    body, status, code, field = BODIES[name]
    await rig.tool()

    response = await rig.client.post("/v1/calls", content=body, headers={"Content-Type": "application/json"})

    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["detail"]
    if field is not None:
        assert field in [error["path"] for error in response.json()["errors"]]
    assert rig.worker.seen == []
    assert (await rig.call()).status_code == 200


async def test_what_is_not_acted_on_yet_is_named_as_such(rig):
    await rig.tool()

    response = await rig.call(require_confirmation=True)

    assert response.json()["errors"] == [
        {"path": "require_confirmation", "message": "is not acted on by this build; leave it out"}
    ]


async def test_a_misspelt_field_is_told_its_name(rig):
    response = await rig.call(converzation="c")

    assert response.json()["errors"][0]["message"] == "is not a field here; did you mean conversation?"


async def test_50_mib_are_refused_by_their_length_alone(rig):
    read = []

    async def endless():
        for _ in range(50):
            read.append(1)
            yield b"x" * MIB

    headers = {"Content-Type": "application/json", "Content-Length": str(50 * MIB)}
    response = await rig.client.post("/v1/calls", content=endless(), headers=headers)

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert read == []


async def test_a_body_in_pieces_is_read_no_further_than_it_may_be_long(rig):
    read = []

    async def endless():
        for _ in range(50):
            read.append(1)
            yield b"x" * (MIB // 2)

    response = await rig.client.post("/v1/calls", content=endless(), headers={"Content-Type": "application/json"})

    assert (response.status_code, response.json()["code"]) == (413, "payload_too_large")
    assert len(read) <= 4


async def test_a_body_in_pieces_is_read_whole(rig):
    await rig.tool()

    async def pieces():
        for byte in OK:
            yield bytes([byte])

    response = await rig.client.post("/v1/calls", content=pieces(), headers={"Content-Type": "application/json"})

    assert response.status_code == 200


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"])
async def test_another_media_type_is_refused(rig, kind):
    response = await rig.client.post("/v1/calls", content=OK, headers={"Content-Type": kind})

    assert (response.status_code, response.json()["code"]) == (415, "parse_error")
    assert response.json()["status"] == 415


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        ({"Content-Type": "application/json; charset=utf-16"}, "'utf-16'"),
        ({"Content-Type": 'application/json; a=b; Charset="ISO-8859-1"'}, "'iso-8859-1'"),
        ({"Content-Encoding": "gzip"}, "'gzip'"),
        ({"Content-Encoding": "identity, br"}, "'identity, br'"),
    ],
)
async def test_a_body_that_is_not_plain_utf_8_is_refused(rig, headers, named):
    await rig.tool()

    response = await rig.client.post("/v1/calls", content=OK, headers=headers)

    assert (response.status_code, response.json()["code"]) == (415, "parse_error")
    assert named in response.json()["detail"]
    assert (await rig.client.post("/v1/calls", content=OK, headers={"Content-Encoding": "identity"})).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"[]", "must be a JSON object, not a list"),
        (b"7", "must be a JSON object, not a number"),
        (call(arguments=b'"{}"'), "must be a JSON object, not a text"),
        (call(cancel_on_disconnect=b"1"), "must be true or false, not a number"),
        (call(not_before=b'"2020-01-01T00:00:00Z"'), "is over; give a time to come"),
        (call(not_before=b'"9999-01-01T00:00:00Z"'), "is more than a year ahead"),
        (call(not_before=b'"2030-01-01"'), "is no time of RFC 3339 with its offset, as in 2026-01-31T12:00:00Z"),
        (call(timeout=b"null", deadline=b'"5"'), "must be a number, not a text"),
        (call(queue_timeout=b"9", deadline=b"3"), "queue_timeout: is longer than the deadline, 3 s; make it shorter"),
        (call(queue_timeout=b"301"), "queue_timeout: is longer than the deadline, 300 s; make it shorter, or"),
        (call(timeout=b"0"), "must be greater than 0"),
        (call(user=b"true"), "must be a text, not a boolean"),
        (call(user=b'""'), "must have at least 1 character"),
        (call(tool=b'"../etc"'), "must match the pattern"),
        (call(tool=b'"../etc"'), "a name, or name@version"),
        (call(idempotency_key='"schlüssel"'.encode()), "1 to 255 printable ASCII characters"),
        (b"{}", "is missing; give it"),
        (call(timeout=b"1" * 5000), "a number has more than 4,000 digits"),
    ],
)
async def test_what_would_be_right_is_said_in_the_words_of_json(rig, body, said):
    await rig.tool()

    response = await rig.client.post("/v1/calls", content=body)

    assert said in response.json()["detail"]
    for word in ("Input", "dictionary", "instance", "sys."):
        assert word not in response.text


@pytest.mark.parametrize("kind", ["application/json", "application/json; charset=utf-8", "application/problem+json"])
async def test_json_is_taken_under_all_its_names(rig, kind):
    await rig.tool()

    response = await rig.client.post("/v1/calls", content=OK, headers={"Content-Type": kind})

    assert response.status_code == 200


@pytest.mark.parametrize("prefer", ["wait=soon", "wait=-1", "wait=301", "wait=", "wait=1.5"])
async def test_a_wait_that_is_none_is_refused(rig, prefer):
    await rig.tool()

    response = await rig.call(headers={"Prefer": prefer})

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "Prefer"
    assert rig.worker.seen == []


async def test_other_preferences_are_left_alone(rig):
    await rig.tool()

    response = await rig.call(headers={"Prefer": 'return=minimal, wait="5"'})

    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=5"


@pytest.mark.parametrize("key", ["", "k" * 256, "k" * 10_000, "tab\there"])
async def test_a_key_that_is_none_is_refused(rig, key):
    response = await rig.call(headers={"Idempotency-Key": key})

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "Idempotency-Key"


@pytest.mark.parametrize("path", ["/v1/calls", "/v1/calls/batch", "/v1/tools", "/v1/keys", "/v1/tools/echo/test"])
async def test_two_keys_are_refused(rig, path):
    bodies = {"/v1/calls/batch": {"calls": [{"tool": "echo"}]}, "/v1/calls": {"tool": "echo"}}
    keys = [("Idempotency-Key", "a"), ("Idempotency-Key", "a")]

    response = await rig.client.post(path, json=bodies.get(path, {}), headers=keys)

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "Idempotency-Key"


async def test_a_key_that_is_none_is_refused_for_a_whole_batch(rig):
    calls = {"calls": [{"tool": "echo", "arguments": {}}]}

    response = await rig.client.post("/v1/calls/batch", json=calls, headers={"Idempotency-Key": "k" * 256})

    assert response.status_code == 422


async def test_a_query_is_not_ignored(rig):
    response = await rig.client.post("/v1/calls?wait=5", content=OK)

    assert response.status_code == 422
    assert response.json()["errors"][0]["path"] == "wait"


async def test_the_description_names_every_operation_as_a_person_would(rig):
    paths = (await rig.client.get("/openapi.json")).json()["paths"]
    summaries = [operation["summary"] for path in paths.values() for operation in path.values()]

    assert len(summaries) == len(set(summaries)) >= 29
    assert all(one[0].isupper() and one == one.strip() and " " in one for one in summaries)
    assert not [one for one in summaries if re.search(r" (?!API|Nango)[A-Z]", one)]
    header = paths["/v1/calls/batch"]["post"]["parameters"][1]
    assert "`<key>/<n>`" in header["description"]


# ---- who asks -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Basic dXNlcjpwYXNz",
        "Bearer nonsense",
        "Bearer ty_admin_wrongwrongwrongwrongwrongwrong",
        "Bearer ty_other_0123456789abcdef0123456789abcdef",
        "Bearer " + "x" * 10_000,
        "ty_admin_0123456789abcdef0123456789abcdef",
    ],
)
async def test_who_shows_no_good_key_is_told_so_before_the_body_is_read(rig, authorization):
    response = await rig.client.post("/v1/calls", content=b"{", headers={"Authorization": authorization})

    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert authorization.partition(" ")[2] not in response.text or not authorization.partition(" ")[2].strip()


@pytest.mark.parametrize(
    ("method", "path", "roles"),
    [
        ("POST", "/v1/calls", {"caller"}),
        ("GET", "/v1/calls", {"caller", "author", "approver", "operator"}),
        ("GET", "/v1/tools", {"caller", "author", "approver", "operator"}),
        ("POST", "/v1/tools", {"author"}),
        ("POST", "/v1/tools/validate", {"author"}),
        ("POST", "/v1/tools/echo/test", {"author"}),
        ("PUT", "/v1/tools/echo", {"author"}),
        ("PATCH", "/v1/tools/echo", {"author"}),
        ("DELETE", "/v1/tools/echo", {"author"}),
        ("GET", "/v1/keys", set()),
        ("POST", "/v1/keys", set()),
        ("DELETE", "/v1/keys/x", set()),
        ("POST", "/v1/calls/cancel", {"caller", "operator"}),
        ("POST", "/v1/calls/x/cancel", {"caller", "operator"}),
        ("GET", "/v1/pools", {"caller", "author", "approver", "operator"}),
        ("POST", "/v1/tools/echo/pause", {"operator"}),
        ("POST", "/v1/tools/echo/resume", {"operator"}),
        ("POST", "/v1/pools/http/pause", {"operator"}),
        ("POST", "/v1/pools/http/resume", {"operator"}),
        ("POST", "/v1/pause", {"operator"}),
        ("POST", "/v1/resume", {"operator"}),
    ],
)
async def test_each_role_may_do_what_it_is_for_and_nothing_else(rig, method, path, roles):
    await rig.tool()
    for role in ("caller", "author", "approver", "operator", "admin"):
        headers = await rig.key(role)
        body = {"arguments": {"text": "hi"}} | ({"tool": "echo"} if path == "/v1/calls" else {})
        response = await rig.client.request(method, path, json=body if method == "POST" else None, headers=headers)

        allowed = role in roles or role == "admin"
        assert (response.status_code != 403) is allowed, (role, response.text)


# ---- paths and methods --------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/v1", "/v1/calls/", "/v2/calls", "/docs", "/v1/event"])
async def test_what_this_build_does_not_have_is_not_found(rig, path):
    response = await rig.client.get(path)

    assert (response.status_code, response.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("DELETE", "/v1/calls", "GET, POST"),
        ("PUT", "/v1/calls/batch", "POST"),
        ("POST", "/v1/tools/echo", "DELETE, GET, PATCH, PUT"),
        ("POST", "/livez", "GET"),
        ("HEAD", "/v1/calls", "GET, POST"),
    ],
)
async def test_a_method_that_there_is_not_is_told_those_there_are(rig, method, path, allowed):
    response = await rig.client.request(method, path)

    assert response.status_code == 405
    assert response.headers["Allow"] == allowed
    assert response.headers["Content-Type"] == "application/problem+json"


async def test_a_defect_of_ours_says_nothing_about_itself(rig, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(rig.parts.registry, "list", broken)

    response = await rig.client.get("/v1/tools")

    assert (response.status_code, response.json()["code"]) == (500, "internal")
    assert "secret detail" not in response.text
