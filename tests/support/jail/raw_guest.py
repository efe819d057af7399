"""A guest that runs whatever Python it is given: what code can do that has left every restriction of the language.

It runs in locked children only.
"""

import base64
import json
import random
import sys
import time
from collections.abc import Callable


def preload() -> None:
    """Loads what attacks like to have at hand."""
    import asyncio
    import ctypes.util
    import encodings.idna
    import fcntl
    import gc
    import mmap
    import multiprocessing.popen_fork
    import re
    import resource
    import shutil
    import signal
    import socket
    import subprocess
    import tempfile
    import threading
    import traceback
    import urllib.request

    LOADED.extend(
        (asyncio, ctypes.util, encodings.idna, fcntl, gc, mmap, multiprocessing, re, resource, shutil, signal, socket)
    )
    LOADED.extend((subprocess, tempfile, threading, traceback, urllib.request, random, time))


LOADED: list[object] = []


def warm() -> None:
    """Nothing."""


def serve(operation: str, payload: bytes, ask: Callable[[bytes], bytes], tell: Callable[[bytes], None]) -> bytes:
    """Executes the payload's source as `operation` says.

    ``echo``: gives the payload back. ``run``: the value of its variable `result` as JSON, what it raised as text.
    """
    if operation == "echo":
        return payload
    names: dict[str, object] = {"ask": ask, "tell": tell, "sys": sys, "json": json, "base64": base64}
    exec(payload, names)
    return json.dumps(names.get("result"), default=repr).encode()
