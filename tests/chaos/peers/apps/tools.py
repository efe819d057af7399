"""The two tools, the same for every peer: ``look`` may run twice, ``pay`` must not and its effects are counted."""

import os

import httpx

_UPSTREAM = os.environ["CHAOS_UPSTREAM"]


def look(key, delay, after):
    """A question that takes a while."""
    return httpx.get(f"{_UPSTREAM}/sleep/{delay}", trust_env=False, timeout=30).raise_for_status().json()


def pay(key, delay, after):
    """An effect, with the call's key as its Idempotency-Key, as ours is sent."""
    url = f"{_UPSTREAM}/effects?delay={delay}&after={after}"
    answer = httpx.post(url, json={}, headers={"Idempotency-Key": key}, trust_env=False, timeout=30)
    return answer.raise_for_status().json()
