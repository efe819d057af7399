"""The pools that the one process offers beside http and sandbox: each opened when its first call comes.

Their libraries take a while to load, and many who try the system never call such a tool. What a pool needs from whoever
runs it is told at the start, in one line. The composition root takes them from `OFFERS`.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from toolyard.contracts.tools import ARCADE_KEY
from toolyard_embedded.lazily import Lazily
from toolyard_embedded.settings import EmbeddedSettings
from toolyard_executors.executor import Executor
from toolyard_executors.places import places_of

#: Where AWS's SDK finds out who somebody is: variables, and files with those that name them.
_WHO: Final = (
    *("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE"),
    *("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI"),
)
_FILES: Final = {"AWS_SHARED_CREDENTIALS_FILE": ".aws/credentials", "AWS_CONFIG_FILE": ".aws/config"}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Where the process runs.

    Attributes:
        has_secret: whether the org `default` has a secret of this name.
    """

    env: Mapping[str, str]
    home: Path
    has_secret: Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Offer:
    """A pool.

    Attributes:
        make: what runs its tools, so many at a time; loads what it needs.
        needs: what its tools lack in these surroundings, in one line; empty where nothing is seen to.
    """

    pool: str
    make: Callable[[EmbeddedSettings, int], Executor]
    needs: Callable[[Surroundings], str]


@dataclass(frozen=True, slots=True)
class Offered:
    """A pool that is offered; ``needs`` as in `Offer`."""

    pool: str
    needs: str


def _lambda(settings: EmbeddedSettings, places: int) -> Executor:
    del settings
    from toolyard_executors.kinds.aws_lambda import LambdaExecutor  # here: it loads the SDK of AWS

    return LambdaExecutor(concurrency=places)


def _lambda_needs(around: Surroundings) -> str:
    """Whether anything is set by which AWS would know us. A machine's own role shows only when it is used."""
    files = (Path(around.env.get(name, around.home / usual)) for name, usual in _FILES.items())
    if any(around.env.get(name) for name in _WHO) or any(file.is_file() for file in files):
        return ""
    return (
        "credentials of AWS, for tools that name none: set AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )


def _arcade(settings: EmbeddedSettings, places: int) -> Executor:
    from toolyard_executors.kinds.arcade import ArcadeExecutor  # here: it loads the SDK of Arcade

    return ArcadeExecutor(concurrency=places, url=settings.arcade_url)


def _arcade_needs(around: Surroundings) -> str:
    return "" if around.has_secret(ARCADE_KEY) else f"a key of Arcade: toolyard secrets set {ARCADE_KEY}"


#: Beside http and sandbox. A further pool is one line here.
OFFERS: Final = (
    Offer("lambda", _lambda, _lambda_needs),
    Offer("arcade", _arcade, _arcade_needs),
)


def executors(settings: EmbeddedSettings) -> list[Executor]:
    """What runs them."""
    return [
        Lazily(offer.pool, partial(offer.make, settings), places_of(offer.pool, settings.concurrency))
        for offer in OFFERS
    ]


def offered(has_secret: Callable[[str], bool]) -> tuple[Offered, ...]:
    """What is told of them at the start; see `Surroundings`."""
    around = Surroundings(os.environ, Path.home(), has_secret)
    return tuple(Offered(offer.pool, offer.needs(around)) for offer in OFFERS)
