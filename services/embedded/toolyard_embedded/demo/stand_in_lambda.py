"""A stand-in for AWS Lambda on this machine, for the tour: of its Invoke API what one call needs, and one function.

It is not AWS: it knows one function, believes every signature, and forgets everything. What is real is the way there
(the SDK of AWS sends the request, as it would to AWS) and the function, Python that runs in a process of its own.
"""

import asyncio
import base64
import json
import os
import sys
import time
import uuid
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import unquote

from toolyard.contracts.tools import LambdaBinding, ToolSpec
from toolyard_embedded.upstream import Receive, Scope, Send, body_of

#: The function, the tool that invokes it, and what it is asked in the tour.
FUNCTION: Final = "price-list"
TOOL: Final = "price"
ARGUMENTS: Final = {"sku": "pear"}
_REGION: Final = "eu-central-1"
_PATH: Final = f"/2015-03-31/functions/{FUNCTION}/invocations"
_FILE: Final = Path(__file__).with_name("function.py")


def tool() -> ToolSpec:
    """The tool of the tour."""
    article = {"type": "string", "minLength": 1, "description": "The article's name."}
    return ToolSpec(
        name=TOOL,
        version=1,
        description="The price of an article. A function of AWS Lambda.",
        parameters={
            "type": "object",
            "properties": {"sku": article},
            "required": ["sku"],
            "additionalProperties": False,
        },
        binding=LambdaBinding(function_name=FUNCTION, aws_region=_REGION),
    )


def stand_in_for_aws(url: str, folder: Path) -> None:
    """Let this process take the stand-in for AWS, whatever its user has set for the real one."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {
        "AWS_ENDPOINT_URL_LAMBDA": url,
        "AWS_ACCESS_KEY_ID": "stand-in",
        "AWS_SECRET_ACCESS_KEY": "stand-in",
        "AWS_CONFIG_FILE": str(folder / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(folder / "none"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "NO_PROXY": "*",
        "no_proxy": "*",
    }


async def stand_in(scope: Scope, receive: Receive, send: Send) -> None:
    """``POST /2015-03-31/functions/price-list/invocations``; for every other function Lambda's own error."""
    body, request_id = await body_of(receive), str(uuid.uuid4())
    headers = {"x-amzn-requestid": request_id}
    if scope["method"] != "POST" or unquote(scope["path"]) != _PATH:
        said = {"Type": "User", "Message": "Function not found: the stand-in for AWS Lambda has one function alone"}
        headers["x-amzn-errortype"] = "ResourceNotFoundException"
        await _answer(send, HTTPStatus.NOT_FOUND, headers, json.dumps(said).encode())
        return
    ran = await _run(body, _custom(scope), request_id)
    headers |= {"x-amz-executed-version": "$LATEST", "x-amz-log-result": base64.b64encode(ran.log).decode()}
    if ran.failed:
        headers["x-amz-function-error"] = "Unhandled"
    await _answer(send, HTTPStatus.OK, headers, ran.answer)


class _Ran(NamedTuple):
    """How the function ended, and its log with the lines that Lambda puts around it."""

    answer: bytes
    failed: bool
    log: bytes


async def _run(event: bytes, custom: dict[str, str], request_id: str) -> _Ran:
    asked = json.dumps({"event": json.loads(event), "custom": custom, "request_id": request_id})
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", str(_FILE)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, printed = await process.communicate(asked.encode())
    finally:
        if process.returncode is None:  # the tour was stopped
            process.kill()
            await process.wait()
    took = (time.perf_counter() - begun) * 1000
    log = f"START RequestId: {request_id} Version: $LATEST\n{printed.decode()}END RequestId: {request_id}\n"
    log += f"REPORT RequestId: {request_id}\tDuration: {took:.2f} ms\tBilled Duration: {took + 1:.0f} ms\t\n"
    told: dict[str, Any] = json.loads(out)
    return _Ran(json.dumps(told.get("answer", told.get("error"))).encode(), "error" in told, log.encode()[-4096:])


def _custom(scope: Scope) -> dict[str, str]:
    given = dict(scope["headers"]).get(b"x-amz-client-context")
    custom: dict[str, str] = {} if given is None else json.loads(base64.b64decode(given))["custom"]
    return custom


async def _answer(send: Send, status: HTTPStatus, headers: dict[str, str], body: bytes) -> None:
    told = headers | {"content-type": "application/json", "content-length": str(len(body))}
    raw = [(name.encode(), value.encode()) for name, value in told.items()]
    await send({"type": "http.response.start", "status": int(status), "headers": raw})
    await send({"type": "http.response.body", "body": body})
