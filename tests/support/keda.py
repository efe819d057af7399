"""What KEDA and the autoscaler of Kubernetes decide from a `ScaledObject`, step by step. It starts and stops nothing.

Read from the manifests that are deployed, of the component `keda` and of an overlay's pool, so that what is tried here
is what they say. The rules are those of KEDA 2
(`rabbitmq_scaler.go`, `scale_scaledobjects.go`) and of `autoscaling/v2` (tolerance, policies, stabilisation):

- KEDA looks every `pollingInterval` and decides between none and one: any call makes one worker of none, and none is
  left once there was no call for `cooldownPeriod`.
- The autoscaler looks every 15 s while there is a worker, and decides how many.
"""

import json
import math
import urllib.request
from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

import yaml

_MANIFESTS: Final = Path(__file__).resolve().parents[2] / "deploy" / "k8s"
#: What the cluster decides and no manifest says: seconds between two looks of the autoscaler, and the share by which
#: the load may differ from what is wanted without anything being changed.
SYNC: Final = 15.0
TOLERANCE: Final = 0.1


@dataclass(frozen=True)
class Policy:
    """So many workers, or so many percent of them, may come or go in a period."""

    kind: Literal["Pods", "Percent"]
    value: int
    period: float

    def most(self, before: int) -> int:
        """How many there may be after a period that began with so many."""
        return before + self.value if self.kind == "Pods" else math.ceil(before * (1 + self.value / 100))

    def least(self, before: int) -> int:
        """How few."""
        return before - self.value if self.kind == "Pods" else int(before * (1 - self.value / 100))


@dataclass(frozen=True)
class Direction:
    """How fast it goes up, or down."""

    stabilisation: float
    policies: tuple[Policy, ...]


@dataclass(frozen=True)
class Scaling:
    """A `ScaledObject` with one trigger of the type ``rabbitmq`` in the mode ``QueueLength``, asked over HTTP.

    Attributes:
        value: calls, waiting and running, for each worker.
        activation: calls up to which there need not be a worker.
    """

    vhost: str
    queue: str
    value: float
    activation: float
    polling: float
    cooldown: float
    up: Direction
    down: Direction

    def faster(self, times: float) -> "Scaling":
        """The same with a shorter time: seconds are divided, nothing else."""
        return Scaling(
            self.vhost,
            self.queue,
            self.value,
            self.activation,
            self.polling / times,
            self.cooldown / times,
            _faster(self.up, times),
            _faster(self.down, times),
        )


def _faster(direction: Direction, times: float) -> Direction:
    policies = tuple(Policy(each.kind, each.value, each.period / times) for each in direction.policies)
    return Direction(direction.stabilisation / times, policies)


def read(pool: str, overlay: str = "production") -> Scaling:
    """What the manifests say of a pool: how it is scaled, and how many calls an overlay has for a worker.

    Raises:
        ValueError: they say something that is not simulated here.
    """
    manifest = _MANIFESTS / "components" / "keda" / f"{pool}.yaml"
    spec = yaml.safe_load(manifest.read_text())["spec"]
    sizes = yaml.safe_load_all((_MANIFESTS / "overlays" / overlay / "pools" / f"{pool}.yaml").read_text())
    (size,) = (each for each in sizes if each["kind"] == "ScaledObject")
    (trigger,) = spec["triggers"]
    asked = trigger["metadata"]
    if (trigger["type"], asked["protocol"], asked["mode"]) != ("rabbitmq", "http", "QueueLength"):
        raise ValueError(f"{manifest} does not scale by the length of a queue, asked over HTTP")
    behavior = spec["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]
    return Scaling(
        vhost=asked["vhostName"],
        queue=asked["queueName"],
        value=float(size["metadata"]["annotations"]["toolyard.io/calls-for-a-worker"]),
        activation=float(asked["activationValue"]),
        polling=float(spec["pollingInterval"]),
        cooldown=float(spec["cooldownPeriod"]),
        up=_direction(behavior["scaleUp"]),
        down=_direction(behavior["scaleDown"]),
    )


def _direction(rules: dict[str, Any]) -> Direction:
    if rules.get("selectPolicy", "Max") != "Max":
        raise ValueError("only the policy that changes most is simulated")
    policies = (Policy(each["type"], each["value"], float(each["periodSeconds"])) for each in rules["policies"])
    return Direction(float(rules["stabilizationWindowSeconds"]), tuple(policies))


class Autoscaler:
    """Decides how many workers a pool has.

    Args:
        minimum: workers that there are always; ``maximum``: at most.
        sync: seconds between two looks of the autoscaler.
    """

    def __init__(self, scaling: Scaling, *, minimum: int, maximum: int, sync: float = SYNC) -> None:
        self._scaling = scaling
        self._minimum = minimum
        self._maximum = maximum
        self._sync = sync
        self._active_at: float | None = None
        self._poll_at = self._sync_at = 0.0
        self._wanted: deque[tuple[float, int]] = deque()
        self._changes: deque[tuple[float, int]] = deque()

    def decide(self, now: float, workers: int, calls: int) -> int:
        """How many there shall be now, of so many workers, with so many calls waiting and running."""
        if now >= self._poll_at:
            self._poll_at = now + self._scaling.polling
            some = self._none_or_some(now, workers, calls)
            if some != workers:
                return some
        if workers and now >= self._sync_at:
            self._sync_at = now + self._sync
            return self._how_many(now, workers, calls)
        return workers

    def _none_or_some(self, now: float, workers: int, calls: int) -> int:
        """KEDA's part."""
        if calls > self._scaling.activation:
            self._active_at = now
            return workers or max(self._minimum, 1)
        rested = self._active_at is None or now > self._active_at + self._scaling.cooldown
        return 0 if rested and not self._minimum else max(workers, self._minimum)

    def _how_many(self, now: float, workers: int, calls: int) -> int:
        """The autoscaler's part."""
        ratio = calls / (self._scaling.value * workers)
        near = 1 - TOLERANCE <= ratio <= 1 + TOLERANCE
        wanted = workers if near else math.ceil(calls / self._scaling.value)
        wanted = min(max(wanted, self._minimum, 1), self._maximum)
        wanted = self._stable(now, workers, wanted)
        bound = min(wanted, self._most(now, workers)) if wanted > workers else max(wanted, self._least(now, workers))
        self._changes.append((now, bound - workers))
        return bound

    def _stable(self, now: float, workers: int, wanted: int) -> int:
        """Up to the least that was wanted in the window of going up, down to the most in that of going down."""
        up, down = now - self._scaling.up.stabilisation, now - self._scaling.down.stabilisation
        self._wanted.append((now, wanted))
        while self._wanted[0][0] < min(up, down):
            self._wanted.popleft()
        least = min(number for at, number in self._wanted if at >= up)
        most = max(number for at, number in self._wanted if at >= down)
        return min(max(workers, least), most)

    def _most(self, now: float, workers: int) -> int:
        return max(policy.most(workers - self._change(now, policy)) for policy in self._scaling.up.policies)

    def _least(self, now: float, workers: int) -> int:
        return min(policy.least(workers - self._change(now, policy)) for policy in self._scaling.down.policies)

    def _change(self, now: float, policy: Policy) -> int:
        """By how many workers there are more than when the policy's period began."""
        return sum(number for at, number in self._changes if at > now - policy.period)


def calls_of(management: str, user: str, password: str, scaling: Scaling) -> int:
    """Calls waiting and running, as KEDA asks for them: ``messages`` of the queue, by the management API."""
    path = "/".join(quote(word, safe="") for word in (scaling.vhost, scaling.queue))
    request = urllib.request.Request(f"{management}/api/queues/{path}")
    request.add_header("Authorization", "Basic " + b64encode(f"{user}:{password}".encode()).decode())
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
        # What the broker has not counted yet is absent; KEDA takes it for none.
        return int(json.load(answer).get("messages", 0))
