"""What scales the pools: every field of a trigger is one that KEDA's scaler reads, and means what it should.

KEDA takes a field that it does not know, and a queue that is not there, without a word; the pool then never grows.
"""

import re
from collections.abc import Callable, Iterator
from typing import Final

from deploy.k8s.checks.documents import Document, Manifests, Problem, Tree
from deploy.k8s.checks.parts import places

from toolyard.transport.topology import QUEUES, pool_queue

Check = Callable[[str], bool]


def _positive(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None and float(text) > 0


def _not_negative(text: str) -> bool:
    return re.fullmatch(r"\d+(\.\d+)?", text) is not None


def _truth(text: str) -> bool:
    return text in ("true", "false")


def _duration(text: str) -> bool:
    return re.fullmatch(r"(\d+(ms|s|m))+|\d+", text) is not None


def _any(text: str) -> bool:
    return bool(text)


#: Where the scaler stands in KEDA's source.
SCALER: Final = "pkg/scalers/rabbitmq_scaler.go"
#: How the scaler counts: those ways that every version has.
MODES: Final = ("QueueLength", "MessageRate")
#: Field of a rabbitmq trigger -> whether a value can stand there, and what can.
METADATA: Final[dict[str, tuple[Check, str]]] = {
    "queueName": (lambda text: text in {queue.name for queue in QUEUES}, "a queue of toolyard.transport.topology"),
    "mode": (MODES.__contains__, f"one of {', '.join(MODES)}"),
    "value": (_positive, "a number over 0"),
    "activationValue": (_not_negative, "a number"),
    "protocol": (("http", "amqp", "auto").__contains__, "http, amqp or auto"),
    "host": (_any, "a URL"),
    "hostFromEnv": (_any, "a variable of the container"),
    "usernameFromEnv": (_any, "a variable of the container"),
    "passwordFromEnv": (_any, "a variable of the container"),
    "vhostName": (_any, "a vhost"),
    "useRegex": (_truth, "true or false"),
    "excludeUnacknowledged": (_truth, "true or false"),
    "pageSize": (_positive, "a number over 0"),
    "operation": (("sum", "avg", "max").__contains__, "sum, avg or max"),
    "timeout": (_duration, "a duration"),
    "unsafeSsl": (_truth, "true or false"),
}
#: What a rabbitmq trigger takes from a TriggerAuthentication.
PARAMETERS: Final = ("host", "protocol", "vhostName", "username", "password", "ca", "cert", "key", "keyPassword", "tls")
#: Fields of the triggers that look at the pods themselves.
_OF_PODS: Final[dict[str, tuple[Check, str]]] = {
    "value": (_positive, "a number over 0"),
    "containerName": (_any, "a container"),
}


def misfits(source: str) -> Iterator[str]:
    """Names of ours that the scaler's own source (`SCALER`) does not read."""
    read = dict(re.findall(r'keda:"name=(\w+),\s*order=([\w;]+)', source))
    for name in METADATA:
        order = read.get(name.removesuffix("FromEnv"), "")
        if ("resolvedEnv" if name.endswith("FromEnv") else "triggerMetadata") not in order:
            yield f"{name} is no field of a trigger's metadata"
    for name in PARAMETERS:
        if "authParams" not in read.get(name, ""):
            yield f"{name} is not taken from a TriggerAuthentication"
    for mode in MODES:
        if f'"{mode}"' not in source:
            yield f"{mode} is no mode"


def problems(manifests: Manifests) -> Iterator[Problem]:
    """Everything about scaling that would go wrong without a word."""
    for scaled in manifests.of("ScaledObject"):
        yield from _target(scaled, manifests)
        yield from _bounds(scaled)
        for number, trigger in enumerate(scaled.at("spec.triggers", [])):
            yield from _trigger(scaled, f"spec.triggers.{number}", trigger, manifests)
            yield from _share(scaled, f"spec.triggers.{number}.metadata", trigger, manifests)
    for kind in ("TriggerAuthentication", "ClusterTriggerAuthentication"):
        for authentication in manifests.of(kind):
            yield from _parameters(authentication)


def _target(scaled: Document, manifests: Manifests) -> Iterator[Problem]:
    name = scaled.at("spec.scaleTargetRef.name", "")
    target = manifests.find("Deployment", name, scaled.namespace)
    if target is None:
        yield scaled.problem("spec.scaleTargetRef.name", f"there is no Deployment {name}")
    elif target.at("spec.replicas") is not None:
        yield target.problem(
            "spec.replicas", f"is what {scaled} decides: leave it out, or each apply undoes the scaling"
        )
    others = [each for each in manifests.of("HorizontalPodAutoscaler") if each.at("spec.scaleTargetRef.name") == name]
    others += [each for each in manifests.of("ScaledObject") if each.at("spec.scaleTargetRef.name") == name]
    for other in others:
        if other is not scaled:
            yield scaled.problem("spec.scaleTargetRef.name", f"{other} scales {name} too: one of them has to go")


def _bounds(scaled: Document) -> Iterator[Problem]:
    least, most = scaled.at("spec.minReplicaCount", 0), scaled.at("spec.maxReplicaCount")
    if most is None:
        yield scaled.problem("spec.maxReplicaCount", "is not said: KEDA would go up to 100")
    elif least > most:
        yield scaled.problem("spec.minReplicaCount", f"{least} is more than maxReplicaCount, {most}")


def _trigger(scaled: Document, field: str, trigger: Tree, manifests: Manifests) -> Iterator[Problem]:
    metadata: Tree = trigger.get("metadata") or {}
    known = METADATA if trigger.get("type") == "rabbitmq" else _OF_PODS
    for name, value in metadata.items():
        yield from _value(scaled, f"{field}.metadata.{name}", value, known.get(name), known)
    if trigger.get("type") == "rabbitmq":
        yield from _rabbitmq(scaled, field, trigger, metadata)
        yield from _credentials(scaled, field, trigger, manifests)


def _value(
    scaled: Document, field: str, value: object, known: tuple[Check, str] | None, others: dict[str, tuple[Check, str]]
) -> Iterator[Problem]:
    if known is None:
        yield scaled.problem(field, f"the scaler reads no such field; it reads {', '.join(others)}")
    elif not isinstance(value, str):
        yield scaled.problem(field, f'{value!r} is not a string: write "{value}"')
    elif not known[0](value):
        yield scaled.problem(field, f"{value!r} is not {known[1]}")


def _rabbitmq(scaled: Document, field: str, trigger: Tree, metadata: Tree) -> Iterator[Problem]:
    for name in ("queueName", "mode", "value"):
        if name not in metadata:
            yield scaled.problem(f"{field}.metadata.{name}", "is missing")
    if metadata.get("protocol") != "http":
        yield scaled.problem(
            f"{field}.metadata.protocol", "has to be http: over amqp, calls that run (unacked) are not counted"
        )
    if metadata.get("excludeUnacknowledged") == "true":
        yield scaled.problem(
            f"{field}.metadata.excludeUnacknowledged",
            "calls that run have to count, or the pool shrinks while it works",
        )
    if trigger.get("metricType", "AverageValue") == "Utilization":
        yield scaled.problem(f"{field}.metricType", "Utilization is for cpu and memory: AverageValue or Value")


def _share(scaled: Document, field: str, trigger: Tree, manifests: Manifests) -> Iterator[Problem]:
    """The queue is the pool's own; and no more calls are counted for a worker than it runs, or they wait for nobody."""
    target = manifests.find("Deployment", scaled.at("spec.scaleTargetRef.name", ""), scaled.namespace)
    metadata: Tree = trigger.get("metadata") or {}
    value = metadata.get("value", "")
    for pool, count in places(target, manifests) if target and trigger.get("type") == "rabbitmq" else ():
        if metadata.get("queueName") != pool_queue(pool):
            yield scaled.problem(f"{field}.queueName", f"the pool {pool} takes its calls from {pool_queue(pool)}")
        if isinstance(value, str) and _positive(value) and float(value) > count:
            told = f"{value} calls for each worker, which runs {count} at a time: {count} or fewer"
            yield scaled.problem(f"{field}.value", told)


def _credentials(scaled: Document, field: str, trigger: Tree, manifests: Manifests) -> Iterator[Problem]:
    metadata: Tree = trigger.get("metadata") or {}
    reference: Tree = trigger.get("authenticationRef") or {}
    if not reference:
        if not {"host", "hostFromEnv"} & set(metadata):
            yield scaled.problem(f"{field}.authenticationRef", "is missing, and so is a host: nobody says which broker")
        return
    kind = reference.get("kind", "TriggerAuthentication")
    namespace = scaled.namespace if kind == "TriggerAuthentication" else ""
    found = manifests.find(kind, reference.get("name", ""), namespace)
    if found is None:
        yield scaled.problem(f"{field}.authenticationRef.name", f"there is no {kind} {reference.get('name')}")
    elif not {"host", "hostFromEnv"} & set(metadata) | ({"host"} & set(_given(found))):
        yield scaled.problem(f"{field}.authenticationRef.name", f"{found} gives no host, nor does the trigger")


def _given(authentication: Document) -> list[str]:
    sources = ("secretTargetRef", "configMapTargetRef")
    return [each["parameter"] for source in sources for each in authentication.at(f"spec.{source}", [])]


def _parameters(authentication: Document) -> Iterator[Problem]:
    for name in _given(authentication):
        if name not in PARAMETERS:
            known = ", ".join(sorted(PARAMETERS))
            yield authentication.problem("spec", f"the scaler takes no parameter {name}; it takes {known}")
    if {"username", "password"} & set(_given(authentication)) and not {"username", "password"} <= set(
        _given(authentication)
    ):
        yield authentication.problem("spec", "username and password are given together, or neither")
