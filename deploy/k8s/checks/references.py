"""Whether what one document says of another is true: every name leads somewhere."""

from collections.abc import Iterator
from typing import Final

from deploy.k8s.checks.documents import Document, Manifests, Pod, Problem, Tree
from deploy.k8s.checks.parts import held

from toolyard.transport.topology import QUEUES

#: Kinds of the topology operator that say to which cluster they belong.
_OF_BROKER: Final = (
    "Vhost", "Queue", "Exchange", "Binding", "Policy", "OperatorPolicy", "User", "Permission", "TopicPermission",
)  # fmt: skip


def problems(manifests: Manifests) -> Iterator[Problem]:
    """Every name that leads nowhere."""
    for pod in manifests.pods():
        yield from _account(pod, manifests)
        for field, container in pod.containers():
            yield from _environment(pod, field, container, manifests)
        for number, volume in enumerate(pod.spec.get("volumes") or []):
            yield from _volume(pod, f"volumes.{number}", volume, manifests)
    for service in manifests.of("Service"):
        yield from _service(service, manifests)
    for document in manifests.of("PodDisruptionBudget", "NetworkPolicy"):
        yield from _selected(document, manifests)
    for monitor in manifests.of("PodMonitor"):
        yield from _monitor(monitor, manifests)
    for document in manifests.of("TriggerAuthentication"):
        yield from _authentication(document, manifests)
    yield from _broker(manifests)
    yield from _twice(manifests)


def _twice(manifests: Manifests) -> Iterator[Problem]:
    """The same queue under two names of documents would be two wills about one thing."""
    seen: dict[tuple[str, ...], Document] = {}
    for queue in manifests.of("Queue"):
        key = (queue.at("spec.vhost", "/"), queue.at("spec.name", ""))
        if key in seen:
            yield queue.problem("spec.name", f"{seen[key]} is the same queue")
        seen[key] = queue


# ---- of pods ------------------------------------------------------------------------------------
def _account(pod: Pod, manifests: Manifests) -> Iterator[Problem]:
    name = pod.spec.get("serviceAccountName")
    if name is not None and manifests.find("ServiceAccount", name, pod.namespace) is None:
        yield pod.problem("serviceAccountName", f"there is no ServiceAccount {name}")


def _environment(pod: Pod, field: str, container: Tree, manifests: Manifests) -> Iterator[Problem]:
    for number, source in enumerate(container.get("envFrom") or []):
        for key, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
            if key in source:
                yield from _named(pod.owner, f"{field}.envFrom.{number}.{key}", kind, source[key], manifests)
    for number, each in enumerate(container.get("env") or []):
        for key, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
            if reference := (each.get("valueFrom") or {}).get(key):
                yield from _named(pod.owner, f"{field}.env.{number}.valueFrom.{key}", kind, reference, manifests)


def _volume(pod: Pod, field: str, volume: Tree, manifests: Manifests) -> Iterator[Problem]:
    if "configMap" in volume:
        yield from _named(pod.owner, f"{pod.path}.spec.{field}", "ConfigMap", volume["configMap"], manifests)
    if "secret" in volume:
        reference = {"name": volume["secret"]["secretName"], "optional": volume["secret"].get("optional", False)}
        yield from _named(pod.owner, f"{pod.path}.spec.{field}", "Secret", reference, manifests)


def _named(document: Document, field: str, kind: str, reference: Tree, manifests: Manifests) -> Iterator[Problem]:
    """The map or secret, and its key where one is named; what is optional may be missing."""
    if reference.get("optional"):
        return
    name, key = reference["name"], reference.get("key")
    found = manifests.find(kind, name, document.namespace) is not None
    if not found and not (kind == "Secret" and name in manifests.outside):
        known = f", nor among the secrets beside them ({', '.join(manifests.outside)})" if kind == "Secret" else ""
        yield document.problem(field, f"there is no {kind} {name} in the manifests{known}")
    elif key is not None and key not in held(manifests, kind, name, document.namespace):
        yield document.problem(field, f"{kind} {name} has no key {key}")


# ---- of what chooses pods -----------------------------------------------------------------------
def _service(service: Document, manifests: Manifests) -> Iterator[Problem]:
    selector = service.at("spec.selector")
    if not selector:
        return
    pods = manifests.selected(service.namespace, {"matchLabels": selector})
    if not pods:
        yield service.problem("spec.selector", "no pod bears these labels")
        return
    for number, port in enumerate(service.at("spec.ports", [])):
        target = port.get("targetPort", port["port"])
        for pod in pods:
            if target not in _ports(pod):
                yield service.problem(f"spec.ports.{number}.targetPort", f"{pod.owner} has no port {target}")


def _monitor(monitor: Document, manifests: Manifests) -> Iterator[Problem]:
    """Each of its pods is read at one of its ports, and each port is one of some pod."""
    pods = manifests.selected(monitor.namespace, monitor.at("spec.selector", {}))
    asked = [endpoint["port"] for endpoint in monitor.at("spec.podMetricsEndpoints", [])]
    if not pods:
        yield monitor.problem("spec.selector", "no pod bears these labels")
    for number, port in enumerate(asked):
        if not any(port in _ports(pod) for pod in pods):
            yield monitor.problem(f"spec.podMetricsEndpoints.{number}.port", f"none of its pods has a port {port}")
    for pod in pods:
        if _ports(pod) and not _ports(pod) & set(asked):
            yield monitor.problem("spec.podMetricsEndpoints", f"{pod.owner} is read at none of its ports")


def _ports(pod: Pod) -> set[str | int]:
    ports = [port for _, container in pod.containers() for port in container.get("ports") or []]
    return {port["containerPort"] for port in ports} | {port["name"] for port in ports if "name" in port}


def _selected(document: Document, manifests: Manifests) -> Iterator[Problem]:
    field = "spec.podSelector" if document.kind == "NetworkPolicy" else "spec.selector"
    selector = document.at(field, {})
    taken = manifests.selected(document.namespace, selector)
    if selector and not taken and not _of_an_operator(selector, manifests):
        yield document.problem(field, "no pod bears these labels")


def _of_an_operator(selector: Tree, manifests: Manifests) -> bool:
    """Pods that the cluster operator makes are not in the manifests; they bear the name of their cluster."""
    wanted = selector.get("matchLabels") or {}
    return any(wanted.get("app.kubernetes.io/name") == cluster.name for cluster in manifests.of("RabbitmqCluster"))


def _authentication(document: Document, manifests: Manifests) -> Iterator[Problem]:
    for source, kind in (("secretTargetRef", "Secret"), ("configMapTargetRef", "ConfigMap")):
        for number, reference in enumerate(document.at(f"spec.{source}", [])):
            yield from _named(document, f"spec.{source}.{number}", kind, reference, manifests)


# ---- of the broker ------------------------------------------------------------------------------
def _broker(manifests: Manifests) -> Iterator[Problem]:
    names = {queue.name for queue in QUEUES}
    for queue in manifests.of("Queue"):
        if queue.at("spec.name") not in names:
            yield queue.problem("spec.name", f"{queue.at('spec.name')} is no queue of toolyard.transport.topology")
    for document in manifests.of(*_OF_BROKER):
        if document.api.startswith("rabbitmq.com/"):
            yield from _of_cluster(document, manifests)


def _of_cluster(document: Document, manifests: Manifests) -> Iterator[Problem]:
    name = document.at("spec.rabbitmqClusterReference.name", "")
    namespace = document.at("spec.rabbitmqClusterReference.namespace", document.namespace)
    if manifests.find("RabbitmqCluster", name, namespace) is None:
        yield document.problem(
            "spec.rabbitmqClusterReference.name", f"there is no RabbitmqCluster {name} in {namespace}"
        )
    user = document.at("spec.userReference.name")
    if user is not None and manifests.find("User", user, document.namespace) is None:
        yield document.problem("spec.userReference.name", f"there is no User {user}")
    if credentials := document.at("spec.importCredentialsSecret"):
        yield from _named(document, "spec.importCredentialsSecret", "Secret", credentials, manifests)
