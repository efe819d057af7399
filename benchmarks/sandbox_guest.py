"""The tool that `sandbox.py` measures, run by the language of tools alone: what each way of running it does inside."""

import base64
import gc
import json
from multiprocessing.connection import Connection

from toolyard.sandbox.language import guest

SOURCE = """
import collections
import re

def execute_tool(parameters, context):
    words = re.findall("[a-z]+", parameters["text"].lower())
    return {"words": len(words), "most": collections.Counter(words).most_common(2)}
"""
PARAMETERS = {"text": "The quick brown fox jumps over the lazy dog. " * 20}
EXPECTED = {"words": 180, "most": [["the", 40], ["quick", 20]]}


def _nobody(question: bytes) -> bytes:
    raise NotImplementedError


def payload() -> bytes:
    """What a process is sent: the same bytes that the pool's are."""
    checked = json.loads(guest.serve("check", json.dumps({"source": SOURCE}).encode(), _nobody))
    header = json.dumps({"parameters": PARAMETERS}).encode()
    return len(header).to_bytes(4) + header + base64.b64decode(checked["code"])


def run(payload: bytes) -> bytes:
    """One run, in this process."""
    return guest.serve("run", payload, _nobody)


def work(answers: Connection, payload: bytes) -> None:
    """A process of `multiprocessing`."""
    answers.send_bytes(run(payload))


guest.preload()
gc.collect()
gc.freeze()
