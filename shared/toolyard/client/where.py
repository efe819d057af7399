"""Where the gateway is and which key it takes, where a program or a person does not say."""

import os
from ipaddress import ip_address
from pathlib import Path

import httpx

from toolyard.healthcheck import here


def default_url() -> str:
    """Where this machine's gateway listens, by the settings that it reads itself."""
    return here()


def default_key(url: str) -> str | None:
    """The key of the environment, else the one that `toolyard dev` keeps; the latter never leaves this machine."""
    if key := os.environ.get("TOOLYARD_API_KEY"):
        return key
    if not is_loopback(url):
        return None
    try:
        return (Path(os.environ.get("TOOLYARD_DATA") or ".toolyard") / "key").read_text().strip() or None
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None


def is_loopback(url: str) -> bool:
    """Whether the URL leads to this very machine."""
    host = httpx.URL(url).host
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
